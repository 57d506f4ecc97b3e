"use strict";
/*
 * Tests of the browser client in Node, against a server of tests/browser/servers and servers that misbehave.
 *
 *     URL=http://127.0.0.1:3000 node --test own_client_test.js
 *
 * The scenarios that all clients share are driver.js's, to which own_client.js gives this client.
 */
const assert = require("node:assert/strict");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { test } = require("node:test");

// The events of a page, which Node has none of.
const page = new EventTarget();
globalThis.addEventListener = page.addEventListener.bind(page);
globalThis.removeEventListener = page.removeEventListener.bind(page);

const root = path.join(__dirname, "../..");
const library = require(path.join(root, "src/fastsio/static/socket.io.js"));
const { io, Manager, Encoder, Decoder } = library;

const { URL: url } = process.env;
const options = { forceNew: true, transports: ["polling"], reconnectionDelay: 20, reconnectionDelayMax: 60 };
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function next(emitter, event, milliseconds = 4000) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event} within ${milliseconds} ms`)), milliseconds);
    emitter.once(event, (...args) => {
      clearTimeout(timer);
      resolve(args);
    });
  });
}

/** A test with `open(namespace, options)`, whose sockets end with it. */
function check(name, run) {
  test(name, { timeout: 10000 }, async () => {
    const opened = [];
    try {
      await run((namespace = "/", own = {}) => {
        const socket = io((own.url ?? url) + namespace, { ...options, ...own });
        opened.push(socket);
        return socket;
      });
    } finally {
      // Without the listeners, which may connect again.
      for (const socket of opened) socket.off().io.close();
    }
  });
}

async function connected(socket) {
  if (!socket.connected) await next(socket, "connect");
  return socket;
}

/** The next exception that the client reports, which would end this process. */
function intercept() {
  const { queueMicrotask } = globalThis;
  return new Promise((resolve) => {
    globalThis.queueMicrotask = (task) =>
      queueMicrotask(() => {
        try {
          task();
        } catch (error) {
          globalThis.queueMicrotask = queueMicrotask;
          resolve(error);
        }
      });
  });
}

/** A server of one answer: `answer(request, response, number)`. */
async function serving(answer, run) {
  let number = 0;
  const server = http.createServer((request, response) => answer(request, response, number++));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await run(`http://127.0.0.1:${server.address().port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

// --- The wire formats

const bytes = (text) => new Uint8Array(Buffer.from(text, "base64")).buffer;

/** Attachments of the vectors, {$bin: base64}, as bytes, or bytes as those. */
function revive(value) {
  if (Array.isArray(value)) return value.map(revive);
  if (!value || typeof value !== "object") return value;
  if (typeof value.$bin === "string") return bytes(value.$bin);
  if (typeof value.$number === "string") return Number(value.$number);
  if (value.$undefined) return undefined;
  if (value.$date) return new Date(value.$date);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, revive(item)]));
}
function flatten(value) {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    return { $bin: Buffer.from(value.buffer ?? value, value.byteOffset, value.byteLength).toString("base64") };
  }
  if (Array.isArray(value)) return value.map(flatten);
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).flatMap(([key, item]) => (item === undefined ? [] : [[key, flatten(item)]])));
}
function vectors(file, operation) {
  const { vectors: all } = JSON.parse(fs.readFileSync(path.join(root, "tests/vectors", file)));
  const chosen = all.filter(({ op }) => op === operation);
  assert(chosen.length > 10, `${file} has vectors of ${operation}`);
  return chosen;
}

test("packets are encoded as the reference does", () => {
  const encoder = new Encoder();
  for (const { id, in: { packet }, out } of vectors("socketio5.json", "sio5.encode")) {
    assert.deepEqual(flatten(encoder.encode(revive(packet))), out, id);
  }
});

/** What the decoder makes of frames, as the vectors put it. */
function decode(frames) {
  const decoder = new Decoder();
  const packets = [];
  decoder.on("decoded", (packet) => packets.push(packet));
  for (const [errorAtFrame, frame] of frames.entries()) {
    try {
      decoder.add(revive(frame));
    } catch (error) {
      assert(error instanceof Error);
      return { packets, errorAtFrame };
    }
  }
  return { packets };
}

test("packets are decoded as the reference does", () => {
  for (const { id, in: { frames }, out } of vectors("socketio5.json", "sio5.decode")) {
    const { packets, errorAtFrame } = revive(out);
    assert.deepEqual(decode(frames), errorAtFrame === undefined ? { packets } : { packets, errorAtFrame }, id);
  }
});

test("malformed packets are refused where the reference refuses them", () => {
  for (const { id, in: { frames }, out } of vectors("invalid.json", "sio5.decode")) {
    const found = decode(frames);
    // The reference reads some things as numbers that are none; refusing more than it does is right.
    if (found.errorAtFrame !== undefined && out.error === undefined) continue;
    assert.equal(found.errorAtFrame, out.errorAtFrame, `${id}: ${JSON.stringify(frames).slice(0, 200)}`);
  }
});

test("engine packets and payloads are those of the reference", () => {
  const { encodePacket, decodePacket, encodePayload, decodePayload } = library;
  for (const { id, in: { packet, supportsBinary }, out } of vectors("engineio4.json", "eio4.encodePacket")) {
    assert.deepEqual(flatten(encodePacket(revive(packet), supportsBinary)), out, id);
  }
  for (const { id, in: { packets }, out } of vectors("engineio4.json", "eio4.encodePayload")) {
    assert.equal(encodePayload(revive(packets)), out, id);
  }
  // Base64 with letters that are none is refused here.
  const lenient = (text) => /b[^\x1e]*[_\-!]/.test(text) || text === "bA";
  for (const file of ["engineio4.json", "invalid.json"]) {
    for (const { id, in: { data }, out } of vectors(file, "eio4.decodePacket")) {
      if (!lenient(data)) assert.deepEqual(flatten(decodePacket(revive(data))), out, id);
    }
    for (const { id, in: { data }, out } of vectors(file, "eio4.decodePayload")) {
      if (!lenient(data)) assert.deepEqual(flatten(decodePayload(data)), out, id);
    }
  }
  assert.equal(decodePacket("b!!!!").type, "error");
});

// --- Reconnection

test("the back-off", async () => {
  const { backoff } = await import(path.join(root, "src/fastsio/static/client/backoff.js"));
  const defaults = { reconnectionDelay: 1000, reconnectionDelayMax: 5000, randomizationFactor: 0.5 };
  const delays = (random) => [0, 1, 2, 3, 4, 5].map((attempt) => backoff(attempt, defaults, random));
  assert.deepEqual(delays(0), [1000, 2000, 4000, 5000, 5000, 5000]);
  // An even first decimal shortens, an odd one lengthens.
  assert.deepEqual(delays(0.25), [875, 1750, 3500, 5000, 5000, 5000]);
  assert.deepEqual(delays(0.35), [1175, 2350, 4700, 5000, 5000, 5000]);
  assert.deepEqual(delays(0.8999), [551, 1101, 2201, 4401, 5000, 5000]);
  assert.equal(backoff(0, { ...defaults, randomizationFactor: 0 }, 0.3), 1000);
  assert.equal(backoff(2000, defaults, 0.5), 5000);
});

check("the order of events when attempts are given up", async (open) => {
  const socket = open("/", { url: "http://127.0.0.1:1", reconnectionAttempts: 2 });
  const seen = [];
  socket.on("connect_error", (error) => seen.push(`connect_error ${error.message}`));
  for (const event of ["error", "reconnect_attempt", "reconnect_error", "reconnect_failed"]) {
    socket.io.on(event, (detail) => seen.push(event === "reconnect_attempt" ? `${event} ${detail}` : event));
  }
  await next(socket.io, "reconnect_failed");
  await sleep(10);
  const failure = ["error", "connect_error xhr poll error"];
  // The order of the two depends on who listened first.
  const sorted = seen.map((one) => (failure.includes(one) ? "failure" : one));
  assert.deepEqual(sorted, [
    ...["failure", "failure"],
    ...["reconnect_attempt 1", "failure", "failure", "reconnect_error"],
    ...["reconnect_attempt 2", "failure", "failure", "reconnect_failed", "reconnect_error"],
  ]);
  assert.equal(socket.active, true);
});

check("a connection lost comes back, and what was emitted meanwhile leaves once, in order", async (open) => {
  const socket = await connected(open("/", { transports: ["websocket"] }));
  const events = [];
  socket.io.on("reconnect", (attempt) => events.push(`reconnect ${attempt}`));
  socket.on("connect", () => events.push("connect"));
  const gone = next(socket, "disconnect");
  socket.emit("cut", 1);
  assert.equal((await gone)[0], "transport close");
  assert.equal(socket.id, undefined);
  const answers = [1, 2, 3].map((number) => socket.emitWithAck("echo", number));
  answers.forEach((answer, index) => answer.then(() => events.push(index)));
  assert.deepEqual(await Promise.all(answers), [1, 2, 3]);
  assert.deepEqual(events, ["reconnect 1", "connect", 0, 1, 2]);
});

check("connect called from a listener", async (open) => {
  const socket = await connected(open("/", { transports: ["websocket"] }));
  socket.on("disconnect", () => socket.connect());
  for (const number of [1, 2, 3]) {
    const back = next(socket, "connect");
    socket.emit("cut", 1);
    await back;
    assert.equal(await socket.emitWithAck("echo", number), number);
    assert.equal(socket.io.reconnecting, false);
  }
  await serving(
    (request, response, number) => {
      if (request.method === "POST") response.end("ok");
      else if (number < 3) response.writeHead(500).end();
      // Then a session that ends with the next poll, and so on.
      else if (request.url.includes("sid=")) setTimeout(() => response.end("1"), 50);
      else response.end(`0${HANDSHAKE}\x1e40{"sid":"y"}`);
    },
    async (own) => {
      const refused = open("/", { url: own });
      refused.on("connect_error", () => refused.connect());
      for (let i = 0; i < 3; i++) {
        await next(refused, "connect");
        assert.equal((await next(refused, "disconnect"))[0], "transport close");
      }
      refused.disconnect();
    },
  );
});

check("what cannot be encoded harms nothing else", async (open) => {
  const cyclic = {};
  cyclic.self = cyclic;
  for (const own of [{}, { retries: 1 }]) {
    const socket = open("/", own);
    const reported = intercept();
    socket.emit("echo", cyclic);
    const answer = socket.emitWithAck("echo", "after");
    assert.match((await reported).message, /circular/);
    assert.equal(await answer, "after");
    assert.throws(() => socket.emit("echo", cyclic), /circular/);
    assert.equal(await socket.emitWithAck("echo", "last"), "last");
  }
});

check("disconnect ends it all, and connect takes it up again", async (open) => {
  const socket = await connected(open());
  const gone = next(socket, "disconnect");
  socket.disconnect();
  assert.equal((await gone)[0], "io client disconnect");
  assert.deepEqual([socket.connected, socket.active], [false, false]);
  await sleep(150);
  assert.equal(socket.connected, false);
  socket.connect();
  await connected(socket);
  assert.equal(await socket.emitWithAck("echo", "again"), "again");
});

check("the server's disconnect is final", async (open) => {
  const socket = await connected(open());
  const gone = next(socket, "disconnect");
  socket.emit("leave me");
  assert.equal((await gone)[0], "io server disconnect");
  await sleep(150);
  assert.deepEqual([socket.connected, socket.active], [false, false]);
});

check("connection state recovery", async (open) => {
  const socket = await connected(open("/", { transports: ["websocket"], reconnectionDelay: 100 }));
  const { id } = socket;
  assert.equal(socket.recovered, false);
  const early = [];
  socket.on("missed", (value) => early.push([value, socket.connected]));
  socket.emit("cut", 30);
  await next(socket, "disconnect");
  await next(socket, "connect");
  assert.deepEqual([socket.recovered, socket.id], [true, id]);
  assert.deepEqual(early, [[30, true]]);
});

// --- Sending

check("acknowledgements: timeouts, flags, disconnection", async (open) => {
  const socket = await connected(open());
  await assert.rejects(socket.timeout(60).emitWithAck("silence"), /operation has timed out/);
  assert.deepEqual(await new Promise((resolve) => socket.timeout(2000).emit("echo", 1, 2, (...args) => resolve(args))), [null, 1, 2]);
  const late = next(socket, "disconnect");
  const lost = socket.emitWithAck("silence");
  socket.emit("silence", () => assert.fail("a plain callback is forgotten"));
  socket.disconnect();
  await assert.rejects(lost, /socket has been disconnected/);
  await late;
  // Unsent, it is taken back.
  await assert.rejects(socket.timeout(30).emitWithAck("echo", 1), /operation has timed out/);
  assert.equal(socket.sendBuffer.length, 0);
});

check("ackTimeout is the default of all", async (open) => {
  const socket = await connected(open("/", { ackTimeout: 60 }));
  assert.match((await new Promise((resolve) => socket.emit("silence", resolve))).message, /timed out/);
});

check("retries: one at a time, and again until it is acknowledged", async (open) => {
  const socket = await connected(open("/", { retries: 2, ackTimeout: 150 }));
  const seen = [];
  const name = `${socket.id}`;
  const done = new Promise((resolve) => {
    socket.emit("flaky", name, 2, (error, number) => seen.push([error, number]));
    socket.emit("silence", (error) => seen.push(error.message));
    socket.emit("echo", "last", (error, answer) => resolve(seen.push([error, answer])));
  });
  await done;
  assert.deepEqual(seen, [[null, 3], "operation has timed out", [null, "last"]]);
});

check("retries: the head is sent again after a disconnection", async (open) => {
  const socket = await connected(open("/", { retries: 3, transports: ["websocket"] }));
  const name = `${socket.id} again`;
  const answer = new Promise((resolve) => socket.emit("flaky", name, 1, (...args) => resolve(args)));
  await sleep(50);
  socket.io.engine.close();
  assert.deepEqual(await answer, [null, 2]);
});

check("volatile packets are dropped while there is no connection", async (open) => {
  const socket = open("/", { transports: ["websocket"] });
  socket.volatile.emit("echo", 1, () => assert.fail("dropped"));
  assert.equal(socket.sendBuffer.length, 0);
  await connected(socket);
  assert.equal(await new Promise((resolve) => socket.volatile.emit("echo", 2, resolve)), 2);
  await assert.rejects(open("/", { autoConnect: false }).volatile.timeout(30).emitWithAck("echo"), /timed out/);
});

check("reserved names, catch-all listeners, and listeners that throw", async (open) => {
  const socket = open("/other");
  for (const name of ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]) {
    assert.throws(() => socket.emit(name), /is a reserved event name/);
  }
  const seen = [];
  const any = (...args) => seen.push(["in", ...args.slice(0, 2)]);
  socket.onAny(any).prependAny((name) => seen.push(["first", name]));
  socket.onAnyOutgoing((...args) => seen.push(["out", ...args]));
  const reported = intercept();
  socket.on("welcome", () => {
    throw new Error("in a listener");
  });
  socket.on("welcome", (name) => seen.push(["on", name]));
  await connected(socket);
  assert.equal(await socket.emitWithAck("echo", "x"), "x");
  assert.equal((await reported).message, "in a listener");
  const incoming = seen.filter(([kind]) => kind !== "out");
  assert.deepEqual(incoming, [["first", "welcome"], ["in", "welcome", "/other"], ["on", "/other"]]);
  assert.equal(seen.length, 4);
  assert.deepEqual(seen.find(([kind]) => kind === "out"), ["out", "echo", "x"]);
  assert.equal(socket.listenersAny().length, 2);
  assert.deepEqual(socket.offAny(any).listenersAny().length, 1);
  assert.deepEqual([socket.offAny().listenersAny(), socket.offAnyOutgoing().listenersAnyOutgoing()], [[], []]);
});

check("binary of every kind, at any depth", async (open) => {
  for (const own of [{}, { transports: ["websocket"] }, { transports: ["websocket"], forceBase64: true }]) {
    const socket = open("/", own);
    const view = new Uint8Array([0, 1, 2, 3, 4]).subarray(1, 4);
    const value = { a: [view, new Blob(["text"])], b: new Uint16Array([258]).buffer, c: Buffer.from("ff00", "hex"), d: new DataView(new ArrayBuffer(1)) };
    const expected = { a: [{ bytes: "010203" }, { bytes: "74657874" }], b: { bytes: "0201" }, c: { bytes: "ff00" }, d: { bytes: "00" } };
    // The Blob takes a moment to read; what follows does not overtake it.
    const answers = await Promise.all([socket.emitWithAck("describe", value), socket.emitWithAck("echo", "after")]);
    assert.deepEqual(answers, [expected, "after"]);
    const back = await socket.emitWithAck("echo", { deep: [new File(["abc"], "name")] });
    assert(back.deep[0] instanceof ArrayBuffer);
    assert.equal(Buffer.from(back.deep[0]).toString(), "abc");
    socket.disconnect();
  }
});

// --- Connecting

check("auth: an object, a function for each connection, and a refusal", async (open) => {
  const socket = await connected(open("/", { auth: { a: 1 } }));
  assert.deepEqual(await socket.emitWithAck("auth"), { a: 1 });
  const refused = open("/guarded", { auth: { token: "bad" } });
  const [error] = await next(refused, "connect_error");
  assert.deepEqual([error.message, error.data, refused.active], ["no entry", { code: 7 }, false]);
  let calls = 0;
  refused.auth = (give) => setTimeout(() => [give({ token: "good" }), give({}), (calls += 1)], 10);
  refused.connect();
  await connected(refused);
  assert.equal(await refused.emitWithAck("echo", 1), 1);
  assert.equal(calls, 1);
});

check("namespaces share a connection, unless told not to", async (open) => {
  const shared = { forceNew: false };
  const [one, other] = [open("/", shared), open("/other", shared)];
  assert.equal(one.io, other.io);
  const again = open("/", shared);
  assert.notEqual(again.io, one.io);
  assert.notEqual(open("/other", { forceNew: false, multiplex: false }).io, one.io);
  await Promise.all([one, other, again].map(connected));
  assert.equal(await other.emitWithAck("echo", "other"), "other");
  assert.notEqual(one.id, other.id);
  one.disconnect();
  assert.equal(await other.emitWithAck("echo", "still"), "still");
  assert.equal(one.io.socket("/"), one);
  await connected(one);
});

check("addresses", async (open) => {
  assert.throws(() => io("127.0.0.1:3000"), /outside a page/);
  const socket = await connected(open("/?a=1&b=%20", { query: { a: 2 } }));
  assert.deepEqual(socket.io.engine.opts.query, { a: "1", b: " " });
  await connected(open("/", { url: url.replace("http", "ws") }));
  await connected(open("/", { path: "/socket.io/" }));
});

check("the upgrade", async (open) => {
  const socket = await connected(open("/", { transports: ["polling", "websocket", "webtransport"] }));
  if (socket.io.engine.transport.name === "polling") await next(socket.io.engine, "upgrade");
  assert.equal(await socket.emitWithAck("transport"), "websocket");
  const remembering = open("/", { transports: ["polling", "websocket"], rememberUpgrade: true });
  assert.equal(remembering.io.engine.transport.name, "websocket");
  const polling = await connected(open("/", { transports: ["polling", "websocket"], upgrade: false }));
  assert.equal(await polling.emitWithAck("transport"), "polling");
});

check("tryAllTransports goes on to the next", async (open) => {
  const failing = { transports: ["websocket", "polling"], WebSocket: class { constructor() { setTimeout(() => this.onerror({})); } close() {} } };
  const [error] = await next(open("/", { ...failing, reconnection: false }), "connect_error");
  assert.equal(error.message, "websocket error");
  const socket = await connected(open("/", { ...failing, tryAllTransports: true }));
  assert.equal(await socket.emitWithAck("transport"), "polling");
});

check("extraHeaders and requestTimeout", async (open) => {
  await serving(
    (request, response) => request.headers["x-own"] === "1" && response.writeHead(418).end(),
    async (own) => {
      const teapot = open("/", { url: own, extraHeaders: { "X-Own": "1" }, reconnection: false });
      const [error] = await next(teapot, "connect_error");
      assert.deepEqual([error.message, error.description, error.type], ["xhr poll error", 418, "TransportError"]);
      const slow = open("/", { url: own, requestTimeout: 50, reconnection: false });
      assert.equal((await next(slow, "connect_error"))[0].message, "xhr poll error");
      const never = open("/", { url: own, timeout: 50, reconnection: false });
      assert.equal((await next(never, "connect_error"))[0].message, "timeout");
    },
  );
});

// --- Servers that misbehave, and the page's own events

const HANDSHAKE = JSON.stringify({ sid: "x", upgrades: [], pingInterval: 100, pingTimeout: 50, maxPayload: 1000 });

check("cookies go back to the server that set them, if that is asked for", async (open) => {
  const { Server } = require("sio-server-4");
  const seen = [];
  const server = http.createServer();
  const own = new Server(server, { serveClient: false });
  own.engine.on("initial_headers", (headers) => {
    headers["Set-Cookie"] = ["route=a=1; Path=/; HttpOnly", " gone=1", "gone=; Max-Age=0", "=x", "other = y "];
    // More than are kept: 50.
    for (let number = 0; number < 60; number++) headers["Set-Cookie"].push(`c${number}=${number}`);
  });
  own.engine.use((request, response, go) => {
    seen.push([request._query.transport, request.headers.cookie]);
    go();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const url = `http://127.0.0.1:${server.address().port}`;
    const upgraded = { url, transports: ["polling", "websocket"] };
    for (const withCredentials of [true, false]) {
      const socket = open("/", { ...upgraded, withCredentials });
      await connected(socket);
      if (socket.io.engine.transport.name !== "websocket") await next(socket.io.engine, "upgrade");
      const [first, ...others] = seen.splice(0);
      assert.deepEqual(first, ["polling", undefined]);
      const kept = ["route=a=1", "other=y", ...Array.from({ length: 48 }, (_, number) => `c${number}=${number}`)];
      const expected = withCredentials ? kept.join("; ") : undefined;
      assert(others.some(([transport]) => transport === "websocket") && others.length > 1);
      for (const [, cookie] of others) assert.equal(cookie, expected);
      socket.disconnect();
    }
  } finally {
    own.close();
  }
});

check("garbage instead of a handshake", async (open) => {
  const bodies = ["<html>", "", "0", "0{}", '0{"sid":1}', `0{"sid":"x","pingInterval":"a"}`, "1", "4hello\x1e7"];
  for (const body of bodies) {
    await serving(
      (request, response) => response.end(body),
      async (own) => {
        const socket = open("/", { url: own, reconnection: false, timeout: 500 });
        const [error] = await next(socket, "connect_error");
        assert(["server error", "malformed handshake", "transport close"].includes(error.message) || body.startsWith("4"), `${body}: ${error.message}`);
      },
    );
  }
});

check("garbage later", async (open) => {
  for (const [body, expected] of [["49", "parse error"], ['451-["a",{"_placeholder":true,"num":0}]', "ping timeout"], ["7", "transport error"], ["1", "transport close"], ['451-["a"]\x1e42["b"]', "parse error"], ["bAQID", "parse error"]]) {
    await serving(
      (request, response, number) => {
        if (request.method === "POST") response.end("ok");
        else if (number === 0) response.end(`0${HANDSHAKE}\x1e40{"sid":"y"}`);
        else if (number === 1) response.end(body);
      },
      async (own) => {
        const socket = await connected(open("/", { url: own, reconnection: false }));
        assert.equal((await next(socket, "disconnect"))[0], expected, body);
      },
    );
  }
});

check("a silent server: ping timeout", async (open) => {
  await serving(
    (request, response, number) => {
      if (request.method === "POST") response.end("ok");
      else if (number === 0) response.end(`0${HANDSHAKE}\x1e40{"sid":"y"}`);
    },
    async (own) => {
      const socket = await connected(open("/", { url: own, reconnection: false }));
      assert.equal((await next(socket, "disconnect", 400))[0], "ping timeout");
    },
  );
});

check("a connection found dead after a sleep takes no packets", async (open) => {
  const socket = await connected(open());
  const { now } = Date;
  Date.now = () => now() + 60000;
  const gone = next(socket, "disconnect");
  const answer = socket.emitWithAck("echo", "kept");
  Date.now = now;
  assert.equal((await gone)[0], "ping timeout");
  assert.equal(await answer, "kept");
});

check("POSTs stay below what the server takes", async (open) => {
  const sizes = [];
  await serving(
    (request, response, number) => {
      if (request.method === "POST") {
        let body = "";
        request.setEncoding("utf8").on("data", (text) => (body += text));
        request.on("end", () => response.end("ok", () => sizes.push(Buffer.byteLength(body))));
      } else if (number === 0) response.end(`0${HANDSHAKE.replace("100", "5000")}\x1e40{"sid":"y"}`);
    },
    async (own) => {
      const socket = await connected(open("/", { url: own }));
      for (let i = 0; i < 30; i++) socket.emit("é".repeat(100));
      await next(socket.io.engine, "drain");
      await sleep(20);
      assert(sizes.length >= 7 && sizes.every((size) => size <= 1000), `${sizes}`);
    },
  );
});

check("offline, and a page that hides", async (open) => {
  for (const event of [new Event("offline"), Object.assign(new Event("pagehide"), { persisted: true })]) {
    const socket = await connected(open());
    const gone = next(socket, "disconnect");
    const back = next(socket, "connect");
    page.dispatchEvent(event);
    const [reason, details] = await gone;
    assert.equal(reason, "transport close");
    assert.match(details.description, /network connection lost|page hidden/);
    await back;
    socket.disconnect();
  }
  for (const [event, own] of [[new Event("pagehide"), {}], [new Event("beforeunload"), { closeOnBeforeunload: true }]]) {
    const socket = await connected(open("/", own));
    socket.on("disconnect", () => assert.fail("a page that ends hears nothing more"));
    page.dispatchEvent(event);
    assert.equal(socket.io.engine.readyState, "closed");
    socket.off("disconnect");
  }
  const unmoved = await connected(open());
  page.dispatchEvent(new Event("beforeunload"));
  assert.equal(await unmoved.emitWithAck("echo", 1), 1);
});

check("a Manager by itself", async () => {
  const manager = new Manager(url, { ...options, autoConnect: false });
  assert.equal(manager.reconnectionDelay(), 20);
  assert.equal(manager.reconnectionDelay(30).reconnectionDelay(), 30);
  await new Promise((resolve, reject) => manager.open((error) => (error ? reject(error) : resolve())));
  const socket = manager.socket("/other");
  assert.equal(socket.active, false);
  await connected(socket.connect());
  manager.reconnection(false);
  const gone = next(socket, "disconnect");
  manager.engine.close();
  assert.equal((await gone)[0], "forced close");
  await sleep(100);
  assert.equal(socket.connected, false);
  manager.close();
});

check("the parser of the package socket.io-msgpack-parser", async (open) => {
  const parser = require("socket.io-msgpack-parser");
  const { Server } = require("sio-server-4");
  const server = http.createServer();
  const own = new Server(server, { parser, serveClient: false });
  own.of("/chat").on("connection", (socket) => {
    socket.emit("welcome", Buffer.from([0, 255]));
    socket.on("echo", (...args) => args.pop()(...args));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
      const socket = open("/chat", { url: `http://127.0.0.1:${server.address().port}`, parser, transports });
      const [bytes] = await next(socket, "welcome");
      assert.deepEqual([...new Uint8Array(bytes)], [0, 255]);
      const value = { text: "ü😀", numbers: [1, -2, 2.5, 2 ** 40], nothing: null };
      assert.deepEqual(await socket.emitWithAck("echo", value), value);
    }
  } finally {
    own.close();
  }
});
