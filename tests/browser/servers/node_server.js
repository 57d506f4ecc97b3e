"use strict";
/*
 * What fastsio_server.py offers, on socket.io 4.8 of tests/clients, with pages that load this project's client from
 * /client/.
 */
const fs = require("fs");
const http = require("http");
const path = require("path");
const { Server } = require(path.join(__dirname, "../../clients/node_modules/sio-server-4"));

const CLIENT = path.join(__dirname, "../../../src/fastsio/static");

const server = http.createServer((request, response) => {
  const [, name] = /^\/client\/([\w.]+)$/.exec(request.url) ?? [];
  response.setHeader("Content-Type", name ? "text/javascript" : "text/html");
  response.end(name ? fs.readFileSync(path.join(CLIENT, name)) : fs.readFileSync(path.join(__dirname, "node.html")));
});
const io = new Server(server, {
  serveClient: false,
  connectionStateRecovery: {},
  pingInterval: 2000,
  pingTimeout: 2000,
});
const calls = {};

function describe(value) {
  if (Buffer.isBuffer(value)) return { bytes: value.toString("hex") };
  if (Array.isArray(value)) return value.map(describe);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, describe(item)]));
  }
  return value;
}

function connection(socket) {
  socket.join("everybody");
  socket.emit("welcome", socket.nsp.name);
  socket.on("echo", (...args) => args.pop()(...args));
  socket.on("describe", (value, ack) => ack(describe(value)));
  socket.on("size", (value, ack) => ack(value.length));
  socket.on("auth", (ack) => ack(socket.handshake.auth));
  socket.on("transport", (ack) => ack(socket.conn.transport.name));
  socket.on("silence", () => {});
  socket.on("flaky", (name, silent, ack) => {
    calls[name] = (calls[name] ?? 0) + 1;
    if (calls[name] > silent) ack(calls[name]);
  });
  socket.on("cut", (milliseconds) => {
    socket.conn.close();
    setTimeout(() => io.of(socket.nsp.name).to("everybody").emit("missed", milliseconds), milliseconds);
  });
  socket.on("disconnect", (reason) => io.to("everybody").emit("left", reason));
  socket.on("leave me", () => socket.disconnect());
}

io.on("connection", connection);
io.of("/other").on("connection", connection);
io.of("/guarded")
  .use((socket, next) => {
    if (socket.handshake.auth.token === "good") return next();
    next(Object.assign(new Error("no entry"), { data: { code: 7 } }));
  })
  .on("connection", connection);
server.listen(Number(process.env.PORT), "127.0.0.1");
process.on("SIGTERM", () => process.exit(0));
