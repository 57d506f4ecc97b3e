"use strict";
/*
 * The scenario server of the interop tests on the reference implementation.
 *
 *     node reference_server.js <sio-server-2|sio-server-4> '<options as JSON>'
 *
 * It offers exactly what tests/interop/scenario_server.py offers on fastsio, so one driver runs against both and
 * tests/interop/test_reference.py can prove that the expected values are the reference's. Options are fastsio's
 * (seconds and bytes): kind ("socketio" | "engineio"), ping_interval, ping_timeout, max_http_buffer_size,
 * guard_root, admin, allow_request, http_compression, per_message_deflate.
 *
 * Each line of standard output is one JSON record: {"event": "listening", "port": n} first, then what the server saw
 * of each client, which names itself by the query parameter "tag". A line "close" on standard input closes the
 * server, the end of standard input ends the process.
 */
const http = require("http");
const path = require("path");
const readline = require("readline");

const [name, optionsText] = process.argv.slice(2);
const options = JSON.parse(optionsText || "{}");
const v2 = name === "sio-server-2";

/** Attachments and their place, as JSON: tells the tests that the server itself saw bytes. */
function describe(value) {
  if (Buffer.isBuffer(value)) return { $bytes: value.toString("hex") };
  if (Array.isArray(value)) return value.map(describe);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, describe(item)]));
  }
  return value === undefined ? null : value;
}

function record(fields) {
  process.stdout.write(JSON.stringify(fields) + "\n");
}

/** The engine's options in Node's names and units; an absent one stays absent, so that its default holds. */
function engineOptions() {
  const chosen = {};
  if ("ping_interval" in options) chosen.pingInterval = options.ping_interval * 1000;
  if ("ping_timeout" in options) chosen.pingTimeout = options.ping_timeout * 1000;
  if ("max_http_buffer_size" in options) chosen.maxHttpBufferSize = options.max_http_buffer_size;
  if ("allow_request" in options) chosen.allowRequest = decide;
  if ("http_compression" in options) chosen.httpCompression = options.http_compression;
  if ("per_message_deflate" in options) chosen.perMessageDeflate = deflateOptions(options.per_message_deflate);
  if (!v2) chosen.allowEIO3 = true;
  return chosen;
}

/** The client says what becomes of its handshake. */
function decide(request, done) {
  const verdict = new URL(request.url, "http://localhost").searchParams.get("verdict");
  if (verdict === "message") done("not today", false);
  else done(null, verdict !== "no");
}

/** Node's names and places for the options of permessage-deflate. */
function deflateOptions(chosen) {
  if (typeof chosen === "boolean") return chosen;
  return {
    threshold: chosen.threshold,
    serverNoContextTakeover: chosen.server_no_context_takeover,
    clientNoContextTakeover: chosen.client_no_context_takeover,
    serverMaxWindowBits: chosen.server_max_window_bits,
    clientMaxWindowBits: chosen.client_max_window_bits,
  };
}

/** What an application's query says, without the parameters of Engine.IO. */
function applicationQuery(query) {
  return Object.fromEntries(
    Object.entries(query || {}).filter(([key]) => !["EIO", "transport", "t", "b64", "sid", "j"].includes(key)),
  );
}

function refuse(next, message, data) {
  const error = new Error(message);
  if (data !== undefined) error.data = data;
  next(error);
}

function guard(socket, next) {
  const token = (socket.handshake.auth && socket.handshake.auth.token) || socket.handshake.query.token;
  if (token === "good") next();
  else if (token === "data") refuse(next, "refused", { code: 7, text: "denied" });
  else refuse(next, "nope");
}

function roomsOf(socket) {
  const rooms = v2 ? Object.keys(socket.rooms) : [...socket.rooms];
  return rooms.map((room) => (room === socket.id ? "<id>" : room)).sort();
}

/** Emits with an acknowledgement and gives [status, ...arguments]. */
function ask(socket, milliseconds, event, args) {
  return new Promise((resolve) => {
    if (v2) {
      const timer = setTimeout(() => resolve(["timeout"]), milliseconds);
      socket.emit(event, ...args, (...answer) => {
        clearTimeout(timer);
        resolve(["ok", ...answer]);
      });
    } else {
      socket.timeout(milliseconds).emit(event, ...args, (error, ...answer) => {
        resolve(error ? ["timeout"] : ["ok", ...answer]);
      });
    }
  });
}

async function askPromise(socket, milliseconds, event, args) {
  if (v2) return (await ask(socket, milliseconds, event, args)).slice(0, 2);
  try {
    return ["ok", await socket.timeout(milliseconds).emitWithAck(event, ...args)];
  } catch {
    return ["timeout"];
  }
}

/** The parent of the dynamic namespaces. */
let dynamic;

/** `how` names the operators, in the order in which they are applied. */
function operator(socket, how) {
  let target = how.from === "namespace" ? socket.nsp : socket;
  if (how.from === "parent") target = dynamic;
  if (how.broadcast) target = target.broadcast;
  for (const room of how.to || []) target = target.to(room);
  for (const room of how.in || []) target = target.in(room);
  for (const room of how.except || []) target = target.except(room);
  return target;
}

function engineOf(socket) {
  return (v2 ? socket.server : socket.nsp.server).engine;
}

function onConnection(socket) {
  const tag = socket.handshake.query.tag;
  const namespace = socket.nsp.name;
  const note = (event, fields) => record({ tag, namespace, event, ...fields });
  let received = 0;
  let inOrder = true;
  let flooded = 0;

  note("connect");
  socket.on("disconnecting", (reason) => note("disconnecting", { reason, rooms: roomsOf(socket) }));
  socket.on("disconnect", (reason) => note("disconnect", { reason, rooms: roomsOf(socket) }));
  socket.on("error", (error) => note("error", { message: error.message }));
  socket.emit("welcome", namespace);

  const seen = new Set();
  const upgrades = [];
  for (const event of ["upgrading", "upgrade"]) socket.conn.on(event, ({ name }) => upgrades.push(`${event} ${name}`));
  socket.on("watch conn", (ack) => {
    const { conn } = socket;
    conn.on("packet", ({ type }) => seen.add(`packet ${type}`));
    conn.on("packetCreate", ({ type }) => seen.add(`packet_create ${type}`));
    for (const event of ["data", "message"]) {
      conn.on(event, (data) => seen.add(`${event} ${typeof data === "string" ? "str" : "bytes"}`));
    }
    conn.on("flush", (packets) => packets.forEach(({ type }) => seen.add(`flush ${type}`)));
    conn.on("drain", () => seen.add("drain"));
    engineOf(socket).on("drain", (other) => other === conn && seen.add("engine drain"));
    ack();
  });
  socket.on("conn report", (ack) => {
    const { transport, readyState, upgraded, protocol, id } = socket.conn;
    // engine.io 3 does not say which protocol it speaks.
    const facts = [transport.name, readyState, upgraded, v2 ? 3 : protocol, id !== ""];
    ack({ seen: [...seen].sort(), upgrades, conn: facts });
  });

  socket.on("echo", (...args) => {
    const ack = args[args.length - 1];
    if (typeof ack === "function") ack(...args.slice(0, -1));
    else socket.emit("echo", ...args);
  });
  socket.on("message", (...args) => socket.send(...args));
  socket.on("describe", (value, ack) => ack(describe(value)));
  socket.on("digest", (value, ack) => {
    ack({ type: Buffer.isBuffer(value) ? "bytes" : typeof value, length: value.length });
  });
  socket.on("empty ack", (ack) => ack());
  socket.on("no ack", () => {});
  socket.on("ask", async (style, milliseconds, event, ...args) => {
    const answer = await (style === "promise" ? askPromise : ask)(socket, milliseconds, event, args);
    socket.emit("answered", ...answer);
  });
  socket.on("whoami", (ack) => {
    ack({
      id: socket.id,
      query: applicationQuery(socket.handshake.query),
      auth: socket.handshake.auth || null,
      rooms: roomsOf(socket),
      transport: socket.conn.transport.name,
    });
  });

  socket.on("join", (room, ack) => (v2 ? socket.join(room, () => ack()) : (socket.join(room), ack())));
  socket.on("leave", (room, ack) => (v2 ? socket.leave(room, () => ack()) : (socket.leave(room), ack())));
  socket.on("say", (how, event, ...args) => operator(socket, how).emit(event, ...args));
  socket.on("say later", (milliseconds, how, event, ...args) => {
    setTimeout(() => operator(socket, how).emit(event, ...args), milliseconds);
  });

  socket.on("ask room", async (style, milliseconds, how, event, ...args) => {
    const target = operator(socket, how).timeout(milliseconds);
    if (style === "promise") {
      try {
        socket.emit("answered", "ok", await target.emitWithAck(event, ...args));
      } catch (error) {
        socket.emit("answered", "timeout", error.responses);
      }
    } else {
      target.emit(event, ...args, (error, responses) => socket.emit("answered", error ? "timeout" : "ok", responses));
    }
  });

  // Only what socket.io 2 has.
  socket.on("v2 members", (attachment, ack) => {
    socket.error({ code: 9 });
    socket.json.emit("as json", [1]);
    socket.binary(false).emit("as json", attachment);
    socket.binary(true).emit("as bytes", attachment);
    socket.join("v2", () => {
      socket.nsp.in("v2").clients((error, ids) => {
        socket.leave("v2", () => ack(error, ids.includes(socket.id), Object.keys(socket.nsp.connected).length > 0));
      });
    });
  });

  socket.on("kick", (close) => socket.disconnect(close));
  socket.on("kick room", (room, close) => socket.nsp.in(room).disconnectSockets(close));
  socket.on("drop", () => socket.conn.close());

  // Bursts with pauses between them, so that they are spread over an upgrade; attachments in between.
  socket.on("flood", (count) => {
    const last = flooded + count;
    const timer = setInterval(() => {
      for (const end = Math.min(flooded + 20, last); flooded < end; flooded++) {
        if (flooded % 50 === 7) socket.emit("seq", flooded, Buffer.from([flooded & 255, 255]));
        else socket.emit("seq", flooded);
      }
      if (flooded === last) clearInterval(timer);
    }, 8);
  });
  socket.on("seq", (number, attachment) => {
    const right = number % 50 === 7 ? Buffer.isBuffer(attachment) && attachment[0] === (number & 255) : !attachment;
    inOrder = inOrder && number === received && right;
    received += 1;
  });
  socket.on("seq report", (ack) => ack({ received, in_order: inOrder }));

  socket.use((event, next) => {
    if (event[0] !== "forbidden") next();
    else refuse(next, "forbidden event", { code: 8 });
  });
}

function serveSocketIO(server) {
  const { Server } = v2 ? { Server: require("sio-server-2") } : require("sio-server-4");
  const io = new Server(server, {
    ...engineOptions(),
  });
  if (options.guard_root) io.use(guard);
  io.of("/guarded").use(guard);
  for (const namespace of ["/", "/chat", "/guarded", /^\/dyn-\d+$/]) {
    dynamic = io.of(namespace).on("connection", onConnection);
  }
  if (options.admin) {
    const { server_id: serverId, ...others } = options.admin;
    require("@socket.io/admin-ui").instrument(io, { serverId, ...others });
  }
  return () => io.close();
}

function serveEngineIO(server) {
  const owner = require.resolve(name);
  const engine = require(require.resolve("engine.io", { paths: [path.dirname(owner)] })).attach(server, {
    path: "/engine.io",
    ...engineOptions(),
  });
  engine.on("connection", (socket) => {
    const tag = socket.request._query.tag;
    record({ tag, event: "connect", id: socket.id });
    socket.on("close", (reason) => record({ tag, event: "close", reason }));
    socket.on("message", (data) => {
      if (data === "close") socket.close();
      else if (data === "transport") socket.send(socket.transport.name);
      else socket.send(data);
    });
  });
  return () => {
    engine.close();
    server.close();
  };
}

const server = http.createServer((request, response) => response.writeHead(404).end());
const close = options.kind === "engineio" ? serveEngineIO(server) : serveSocketIO(server);
server.listen(0, "127.0.0.1", () => record({ event: "listening", port: server.address().port }));
readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => line === "close" && close())
  .on("close", () => process.exit(0));
