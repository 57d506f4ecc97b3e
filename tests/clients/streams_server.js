"use strict";
/*
 * socket.io 4.8 with the adapter over Redis streams, for a cluster of its servers and ours.
 *
 *     node streams_server.js <port of Redis> '<options of the adapter, as JSON>'
 *
 * Prints its port as {"event": "listening", "port": n}, then {"event": "answer", "id", "value" or "error"} for each line
 * {"id", "call", "args"} of its standard input, and ends with that.
 */
const http = require("http");
const readline = require("readline");
const { createClient } = require("redis");
const { createAdapter } = require("@socket.io/redis-streams-adapter");
const { Server } = require("sio-server-4");

const [redisPort, options] = process.argv.slice(2);

function print(record) {
  console.log(JSON.stringify(record));
}

/** Bytes come as {"hex"}. */
function read(value) {
  if (value && typeof value.hex === "string") return Buffer.from(value.hex, "hex");
  return value;
}

const calls = {
  emit: (io, { rooms = [], except = [], namespace = "/" }, ...event) =>
    io.of(namespace).to(rooms).except(except).emit(...event.map(read)),
  ask: (io, { rooms = [], timeout = 2000 }, ...event) => io.to(rooms).timeout(timeout).emitWithAck(...event),
  join: (io, rooms, ...more) => io.in(rooms).socketsJoin(more),
  leave: (io, rooms, ...more) => io.in(rooms).socketsLeave(more),
  disconnect: (io, rooms) => io.in(rooms).disconnectSockets(true),
  fetch: async (io) => {
    const sockets = await io.fetchSockets();
    return sockets.map(({ id, rooms, data, handshake }) => ({
      id, rooms: [...rooms], data, url: handshake.url, auth: handshake.auth,
    }));
  },
  serverSideEmit: (io, ...event) => io.serverSideEmit(...event),
  serverSideAsk: (io, ...event) => io.serverSideEmitWithAck(...event),
  count: (io) => io.of("/").adapter.serverCount(),
};

async function main() {
  const client = createClient({ url: `redis://127.0.0.1:${redisPort}` });
  client.on("error", () => {});
  await client.connect();
  const server = http.createServer();
  const io = new Server(server, {
    adapter: createAdapter(client, JSON.parse(options || "{}")),
    connectionStateRecovery: {},
  });
  for (const namespace of ["/", "/chat"]) {
    io.of(namespace).on("connection", (socket) => {
      socket.data.from ??= "node";
      socket.join(socket.handshake.auth.rooms || []);
      socket.emit("state", socket.recovered);
      socket.on("others", (...args) => socket.broadcast.emit(...args));
    });
  }
  const heard = [];
  io.on("note", (value) => heard.push(value));
  io.on("question", (value, answer) => answer(`node ${value}`));
  calls.heard = () => heard;
  // The adapter subscribes in the background.
  while ((await io.of("/").adapter.serverCount()) < 1) await new Promise((resolve) => setTimeout(resolve, 20));
  readline.createInterface({ input: process.stdin }).on("line", async (line) => {
    const { id, call, args } = JSON.parse(line);
    try {
      const value = await calls[call](io, ...args);
      print({ event: "answer", id, value: value === undefined ? null : value });
    } catch (error) {
      print({ event: "answer", id, error: String(error) });
    }
  });
  process.stdin.on("end", () => process.exit(0));
  server.listen(0, "127.0.0.1", () => print({ event: "listening", port: server.address().port }));
}

main();
