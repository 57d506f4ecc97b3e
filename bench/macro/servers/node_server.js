// Socket.IO on Node: node node_server.js PORT [ws|eiows|uws]. One file for socket.io 2 and 4; NODE_PATH says which.
"use strict";

const [port, engine = "ws"] = process.argv.slice(2);
const host = "127.0.0.1";
const options = { allowEIO3: true };

function handlers(io) {
  io.on("connection", (socket) => {
    socket.on("echo", (data) => socket.emit("echo", data));
    socket.on("ack", (data, ack) => ack(data));
    socket.on("bin", (data) => socket.emit("bin", data));
    socket.on("broadcast", (data) => io.emit("broadcast", data));
  });
}

if (engine === "uws") {
  const { Server } = require("socket.io");
  const app = require("@btc-vision/uwebsockets.js").App();
  const io = new Server(options);
  io.attachApp(app);
  handlers(io);
  app.listen(host, Number(port), (listening) => {
    if (!listening) throw new Error(`cannot listen on port ${port}`);
  });
} else {
  const server = require("http").createServer();
  if (engine === "eiows") options.wsEngine = require("eiows").Server;
  handlers(require("socket.io")(server, options));
  // Node's default backlog of 511 refuses part of a connection burst.
  server.listen({ port: Number(port), host, backlog: 2048 });
}
