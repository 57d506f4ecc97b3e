"use strict";
/*
 * The reference servers as the tests of fastsio's clients need them.
 *
 *     node client_server.js <sio-server-2|sio-server-4> <port, 0: any> '<options in Node's names, as JSON>'
 *
 * Prints its port as {"event": "listening", "port": n}, then {"event": "end", "reason": …} for each root socket that
 * leaves. Ends with its standard input.
 */
const http = require("http");

const [name, port, optionsText] = process.argv.slice(2);
const options = JSON.parse(optionsText || "{}");
const v2 = name === "sio-server-2";
if (options.parser) options.parser = require(options.parser);

const server = http.createServer((request, response) => response.writeHead(404).end("not here"));
const io = v2 ? require("sio-server-2")(server, options) : new (require("sio-server-4").Server)(server, options);

function describe(value) {
  if (Buffer.isBuffer(value)) return `bytes ${value.toString("hex")}`;
  if (Array.isArray(value)) return value.map(describe);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, describe(item)]));
  }
  return value;
}

function onConnection(socket) {
  const seen = [];
  socket.emit("welcome", socket.nsp.name, Buffer.from([0, 255]));
  socket.on("echo", (...args) => args.pop()(...args));
  socket.on("describe", (value, ack) => ack(describe(value)));
  socket.on("back", (...args) => socket.emit("back", ...args));
  socket.on("ask", (value) => socket.emit("question", value, (...answer) => socket.emit("answered", ...answer)));
  socket.on("silent", () => {});
  socket.on("slow", (milliseconds, ack) => setTimeout(() => ack("at last"), milliseconds));
  socket.on("seen", (value) => seen.push(value));
  socket.on("report", (ack) => ack(seen));
  socket.on("whoami", (ack) => {
    const { auth, query, headers } = socket.handshake;
    ack({ id: socket.id, auth, query, header: headers["x-test"], transport: socket.conn.transport.name });
  });
  socket.on("kick", (close) => socket.disconnect(close));
  socket.on("drop", () => socket.conn.close());
  // The connection breaks, and meanwhile something is emitted to the room of the socket that is away.
  socket.on("break", () => {
    const room = socket.id;
    socket.conn.close();
    setTimeout(() => io.to(room).emit("missed", 1), 20);
  });
  if (socket.nsp.name === "/") {
    socket.on("disconnect", (reason) => console.log(JSON.stringify({ event: "end", reason })));
  }
}

for (const namespace of ["/", "/chat", "/guarded"]) io.of(namespace).on("connection", onConnection);
io.of("/guarded").use((socket, next) => {
  const token = (socket.handshake.auth && socket.handshake.auth.token) || socket.handshake.query.token;
  if (token === "good") return next();
  const error = new Error("nope");
  error.data = { code: 7 };
  next(error);
});

server.listen(Number(port), "127.0.0.1", () => {
  console.log(JSON.stringify({ event: "listening", port: server.address().port }));
});
process.stdin.on("end", () => process.exit(0)).resume();
