// The handlers that `fastsio load` wants, on Node: node load_server.js [PORT]. For socket.io 2 to 4.
//
// SOCKET_IO names the package, if it is not installed as socket.io.
"use strict";

const port = Number(process.argv[2] || 3000);
const server = require("http").createServer();
const io = require(process.env.SOCKET_IO || "socket.io")(server, { allowEIO3: true });

io.on("connection", (socket) => {
  socket.on("echo", (data) => socket.emit("echo", data));
  socket.on("ack", (data, ack) => ack(data));
  socket.on("broadcast", (data) => io.emit("broadcast", data));
  socket.on("join", (room, ack) => {
    socket.join(room);
    ack();
  });
  socket.on("room", (room, data) => io.to(room).emit("room", data));
});

// Node's default backlog of 511 refuses part of a burst of connections.
server.listen({ port, host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
