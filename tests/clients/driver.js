"use strict";
/*
 * Runs one scenario of the interop tests with one of the official JavaScript clients.
 *
 *     node driver.js <client> <polling|websocket|upgrade> <scenario> <url> [arguments as JSON]
 *
 * client: sio-client-2, sio-client-3, sio-client-4, eio-client-3 or eio-client-6. Prints one line of JSON,
 * {"scenario", "tag", "ok": true, "result"} or {…, "ok": false, "error"}, and exits with 0 or 1. Without a scenario it
 * reads requests {"scenario", "url", "args"}, one a line, from standard input and answers each with such a line:
 * the tests keep one process per client and transport.
 *
 * What must hold for every protocol is asserted here; what depends on it is the result, for the test to compare.
 * The server side of each scenario is in reference_server.js and tests/interop/scenario_server.py.
 */
const assert = require("assert");
const readline = require("readline");

const [client, mode, ...request] = process.argv.slice(2);
const library = require(client);
/** Protocol of Socket.IO: 4 for the client of 2.x, 5 for those of 3.x and 4.x. */
const protocol = client === "sio-client-2" ? 4 : 5;
/** Revision of Engine.IO. */
const engineProtocol = ["sio-client-2", "eio-client-3"].includes(client) ? 3 : 4;
const WAIT = 5000;

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function within(milliseconds, what, start) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited ${milliseconds} ms for ${what}`)), milliseconds);
    const settle = (settler) => (value) => {
      clearTimeout(timer);
      settler(value);
    };
    start(settle(resolve), settle(reject));
  });
}

/** The arguments of the next event of that name. */
function next(emitter, event, milliseconds = WAIT) {
  return within(milliseconds, `event ${JSON.stringify(event)}`, (resolve) => {
    emitter.once(event, (...args) => resolve(args));
  });
}

/** The first of several events, as [name, ...arguments]. */
function firstOf(emitter, events) {
  return within(WAIT, `one of ${events}`, (resolve) => {
    for (const event of events) emitter.once(event, (...args) => resolve([event, ...args]));
  });
}

/** Emits, and gives the arguments of the acknowledgement. */
function call(socket, event, ...args) {
  return within(WAIT, `the acknowledgement of ${JSON.stringify(event)}`, (resolve) => {
    socket.emit(event, ...args, (...answer) => resolve(answer));
  });
}

/** Replaces bytes, so that a value can be compared and printed. */
function describe(value) {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    return { $bytes: (ArrayBuffer.isView(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : Buffer.from(value)).toString("hex") };
  }
  if (Array.isArray(value)) return value.map(describe);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, describe(item)]));
  }
  return value === undefined ? null : value;
}

function assertSame(actual, expected) {
  assert.deepStrictEqual(describe(actual), describe(expected));
}

function transportOptions() {
  return mode === "upgrade" ? {} : { transports: [mode] };
}

async function upgraded(engine) {
  if (mode === "upgrade" && engine.transport.name !== "websocket") await next(engine, "upgrade");
  assert.strictEqual(engine.transport.name, mode === "polling" ? "polling" : "websocket");
}

/** Lets an upgrade begin only later, as on a slow network: a local one may be over when the first packet arrives. */
function delayUpgrade(engine, milliseconds) {
  const name = ["probe", "_probe"].find((method) => typeof engine[method] === "function");
  assert(name, "the client has no method that begins an upgrade");
  const probe = engine[name];
  engine[name] = (...args) => setTimeout(() => probe.apply(engine, args), milliseconds);
}

/** Numbers received in order, each 50th with an attachment, as the server's "flood" sends them. */
class Sequence {
  constructor(socket) {
    this.received = 0;
    this.fault = null;
    socket.on("seq", (number, attachment) => {
      const right = number % 50 === 7 ? describe(attachment).$bytes === Buffer.from([number & 255, 255]).toString("hex") : !attachment;
      if (!this.fault && (number !== this.received || !right)) this.fault = `${number} (${describe(attachment)}) came as number ${this.received}`;
      this.received += 1;
    });
  }

  async until(count) {
    for (const end = Date.now() + 3 * WAIT; this.received < count && Date.now() < end; ) await sleep(5);
  }
}

/** What one run of a scenario opens, so that it can be closed. */
class Trial {
  constructor(url, args) {
    this.url = url;
    this.args = args;
    this.tag = args.tag || "untagged";
    this.managers = [];
    this.engines = [];
  }

  /** A socket on a connection of its own; "welcome" is kept, since it may come with the connection. */
  open(namespace = "/", options = {}) {
    const { query, ...others } = options;
    const socket = library(this.url + namespace, {
      forceNew: true,
      reconnection: false,
      query: { tag: this.tag, ...query },
      ...transportOptions(),
      ...others,
    });
    this.managers.push(socket.io);
    return this.listenForWelcome(socket);
  }

  listenForWelcome(socket) {
    socket.welcome = next(socket, "welcome");
    socket.welcome.catch(() => {});
    return socket;
  }

  async connect(namespace = "/", options = {}) {
    return this.connected(this.open(namespace, options));
  }

  /** Another namespace on the connection of `socket`. */
  async also(socket, namespace, options = {}) {
    return this.connected(this.listenForWelcome(socket.io.socket(namespace, options)));
  }

  async connected(socket) {
    if (!socket.connected) {
      const [event, detail] = await firstOf(socket, ["connect", "connect_error", "error"]);
      if (event !== "connect") throw new Error(`${socket.nsp}: ${event}: ${JSON.stringify(detail.message || detail)}`);
    }
    assert.deepStrictEqual(await socket.welcome, [socket.nsp.split("?")[0]]);
    await upgraded(socket.io.engine);
    return socket;
  }

  /** A client of the admin UI, on a connection of its own, and all that it is told. */
  openAdmin(auth) {
    const socket = library(this.url + "/admin", { forceNew: true, reconnection: false, auth, ...transportOptions() });
    this.managers.push(socket.io);
    const log = [];
    const waiting = [];
    const taken = {};
    socket.onAny((...event) => {
      log.push(event);
      waiting.splice(0).forEach((wake) => wake());
    });
    const all = (name) => log.filter(([other]) => other === name).map(([, ...args]) => args);
    return {
      socket,
      log,
      all,
      /** The arguments of the next event of that name that was not taken yet. */
      async next(name) {
        const index = taken[name] || 0;
        taken[name] = index + 1;
        await within(WAIT, `event ${name}`, async (resolve) => {
          while (all(name).length <= index) await new Promise((wake) => waiting.push(wake));
          resolve();
        });
        return all(name)[index];
      },
    };
  }

  openEngine(options = {}) {
    const settings = { query: { tag: this.tag }, ...transportOptions(), ...options };
    const socket = engineProtocol === 3 ? library(this.url, settings) : new library.Socket(this.url, settings);
    this.engines.push(socket);
    return socket;
  }

  async connectEngine() {
    const socket = this.openEngine();
    await next(socket, "open");
    await upgraded(socket);
    return socket;
  }

  close() {
    for (const manager of this.managers) {
      manager.reconnection(false);
      (manager._close || manager.close).call(manager);
    }
    for (const engine of this.engines) engine.close();
  }
}

const JSON_VALUES = [
  "hello", "", 0, 1, -1, 1.5, -1.5e-7, 1e21, 9007199254740991, true, false, null, [], {}, [[[]]], [1, [2, [3, {}]]],
  { a: { b: { c: [null, "d"] } }, "": 1, "key with \"quotes\"": "\\", _placeholder: false, num: 0 },
];

const STRINGS = [
  "é", "日本語", "😀", "𝕏 marks", "👩‍👩‍👧‍👦", "a\u0000b", "\u001e", "\u2028\u2029", "\u007f", "\n\r\t\b\f\"\\/", "\\n", "\ufeff", "\uffff", "\u{10ffff}",
];

const scenarios = {
  async text(t) {
    const socket = t.open();
    socket.emit("echo", "before the connection");
    const early = next(socket, "echo");
    await t.connected(socket);
    assertSame(await early, ["before the connection"]);
    for (const args of [[], ["one"], JSON_VALUES, ...JSON_VALUES.map((value) => [value])]) {
      const answer = next(socket, "echo");
      socket.emit("echo", ...args);
      assertSame(await answer, args);
    }
    const message = next(socket, "message");
    socket.send("through send", 2);
    assertSame(await message, ["through send", 2]);
  },

  async binary(t) {
    const socket = await t.connect();
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    let deep = Buffer.from("deep");
    for (let i = 0; i < 40; i++) deep = i % 2 ? [i, deep] : { inner: deep };
    const values = [
      [bytes],
      [Buffer.alloc(0)],
      [{ a: [bytes, { b: Buffer.from([1]) }], text: "x", c: new Uint8Array([1, 2, 3]) }],
      ["first", bytes, null, { same: [bytes, bytes] }, 7],
      [deep],
      Array.from({ length: 10 }, (_, i) => Buffer.from([i])),
    ];
    for (const args of values) {
      const answer = next(socket, "echo");
      socket.emit("echo", ...args);
      assertSame(await answer, args);
      // The server must have seen bytes too: an echo alone also works for one that mistakes both ways alike.
      assert.deepStrictEqual(await call(socket, "describe", args), [describe(args)]);
    }
    const look = { _placeholder: true, num: 0 };
    assertSame(await call(socket, "echo", look), [look]);
  },

  async client_acks(t) {
    const socket = await t.connect();
    for (const args of [[], ["one"], [1, "two", { three: [3] }], [null], [Buffer.from([1, 2])], [{ in: [Buffer.from([3])] }, "x"]]) {
      assertSame(await call(socket, "echo", ...args), args);
    }
    assertSame(await call(socket, "empty ack"), []);
    const numbers = Array.from({ length: 100 }, (_, i) => i);
    const answers = await Promise.all(numbers.map((i) => call(socket, "echo", i, i % 10 ? "text" : Buffer.from([i]))));
    assertSame(answers, numbers.map((i) => [i, i % 10 ? "text" : Buffer.from([i])]));
    if (client !== "sio-client-4") return;
    assertSame(await socket.emitWithAck("echo", { a: 1 }, 2), { a: 1 });
    const late = await within(WAIT, "the timeout", (resolve) => {
      socket.timeout(150).emit("no ack", (...args) => resolve(args));
    });
    assert.strictEqual(late.length, 1);
    assert.strictEqual(late[0].message, "operation has timed out");
    await assert.rejects(socket.timeout(150).emitWithAck("no ack"), /operation has timed out/);
    assertSame(await socket.timeout(WAIT).emitWithAck("echo", "in time"), "in time");
  },

  /** The server asks, in the callback style (all arguments) and in the awaited one (the first). */
  async server_acks(t) {
    const socket = await t.connect();
    socket.on("question", (...args) => args.pop()(...args));
    socket.on("question without answer", () => {});
    socket.on("empty question", (ack) => ack());
    const ask = async (style, event, ...args) => {
      const answered = next(socket, "answered");
      socket.emit("ask", style, event === "question without answer" ? 150 : 3000, event, ...args);
      return describe(await answered);
    };
    const answers = {};
    for (const style of ["callback", "promise"]) {
      answers[style] = [
        await ask(style, "question", Buffer.from([1, 2, 3])),
        await ask(style, "question without answer"),
      ];
    }
    answers.callback.unshift(await ask("callback", "question", "a", { b: [1] }));
    answers.callback.push(await ask("callback", "empty question"));
    return answers;
  },

  async namespaces(t) {
    const root = await t.connect();
    const sockets = { "/": root, "/chat": await t.also(root, "/chat"), "/dyn-101": await t.also(root, "/dyn-101") };
    const strays = [];
    for (const [namespace, socket] of Object.entries(sockets)) {
      socket.on("private", (owner) => owner === namespace || strays.push([namespace, owner]));
    }
    for (const [namespace, socket] of Object.entries(sockets)) {
      assertSame(await call(socket, "echo", namespace), [namespace]);
      assertSame(await call(socket, "echo", Buffer.from(namespace)), [Buffer.from(namespace)]);
      socket.emit("say", { from: "namespace" }, "private", namespace);
      const [{ id, rooms }] = await call(socket, "whoami");
      assert.strictEqual(id, socket.id);
      assert.deepStrictEqual(rooms, ["<id>"]);
    }
    for (const socket of Object.values(sockets)) await call(socket, "echo");
    assert.deepStrictEqual(strays, []);
    const ids = Object.values(sockets).map((socket) => socket.id);
    assert.strictEqual(new Set(ids).size, 3);
    return { ids: ids.map((id) => id.replace(root.io.engine.id, "<sid>").replace(/^[\w-]{20}$/, "<own>")) };
  },

  async namespace_unknown(t) {
    const root = await t.connect();
    const socket = root.io.socket("/nowhere");
    const [event, detail] = await firstOf(socket, ["connect", "connect_error", "error"]);
    assertSame(await call(root, "echo", "still here"), ["still here"]);
    return [event, event === "error" ? detail : { message: detail.message, data: describe(detail.data) }];
  },

  /** args.token decides: "good" is let in, "data" refused with data, all else refused without. */
  async middleware(t) {
    const root = await t.connect();
    const { token } = t.args;
    const socket = t.listenForWelcome(
      protocol === 4
        ? root.io.socket("/guarded", { query: { token } })
        : root.io.socket("/guarded", { auth: { token } }),
    );
    const [event, detail] = await firstOf(socket, ["connect", "connect_error", "error"]);
    if (event === "connect") assertSame(await call(socket, "echo", "let in"), ["let in"]);
    assertSame(await call(root, "echo", "still here"), ["still here"]);
    if (event === "connect_error") return [event, { message: detail.message, data: describe(detail.data) }];
    return [event, detail];
  },

  /** A middleware of the namespace "/", which clients of protocol 4 join without asking. */
  async middleware_root(t) {
    const { token } = t.args;
    const socket = t.open("/", protocol === 4 ? { query: { token } } : { auth: { token } });
    const [event, detail] = await firstOf(socket, ["connect", "connect_error", "error"]);
    if (event === "connect") assertSame(await call(socket, "echo", "let in"), ["let in"]);
    if (event === "connect_error") return [event, { message: detail.message, data: describe(detail.data) }];
    return [event, detail];
  },

  async handshake(t) {
    const value = "a b&c=d/é😀";
    const options = protocol === 4 ? {} : { auth: { token: value, n: 1 } };
    const root = await t.connect("/", { query: { token: value, n: 1 }, ...options });
    const chat = await t.also(
      root,
      "/chat",
      protocol === 4 ? { query: { chat: value, n: 2 } } : { auth: (give) => setTimeout(give, 5, { chat: value }) },
    );
    const result = {};
    for (const [name, socket] of Object.entries({ root, chat })) {
      const [{ query, auth }] = await call(socket, "whoami");
      assert.strictEqual(query.tag, t.tag);
      delete query.tag;
      result[name] = protocol === 4 ? { query } : { query, auth };
    }
    return result;
  },

  /** The client of 2.x sends the query of a URL with the namespace that the URL names. */
  async namespace_query(t) {
    const socket = library(`${t.url}/chat?tag=${t.tag}&token=a%20b&empty=`, { forceNew: true, ...transportOptions() });
    t.managers.push(socket.io);
    await t.connected(t.listenForWelcome(socket));
    const [{ query, id }] = await call(socket, "whoami");
    assert.strictEqual(id, socket.id);
    assert.strictEqual(query.tag, t.tag);
    delete query.tag;
    return query;
  },

  async rooms(t) {
    const [a, b, c, other] = [await t.connect(), await t.connect(), await t.connect(), await t.connect("/chat")];
    const sockets = { a, b, c, other };
    for (const [name, room] of [["a", "r1"], ["b", "r1"], ["b", "r2"], ["c", "r2"], ["c", "комната 🚪"], ["other", "r1"]]) {
      await call(sockets[name], "join", room);
    }
    assert.deepStrictEqual((await call(b, "whoami"))[0].rooms, ["<id>", "r1", "r2"]);
    const said = {};
    for (const [name, socket] of Object.entries(sockets)) {
      socket.on("said", (label, attachment) => {
        assertSame(attachment, Buffer.from(label));
        (said[label] ||= []).push(name);
      });
    }
    const say = (label, how) => {
      said[label] = [];
      a.emit("say", how, "said", label, Buffer.from(label));
    };
    if (t.args.only_v4) {
      say("namespace except r1", { from: "namespace", except: ["r1"] });
      say("to r2 except r1", { from: "namespace", to: ["r2"], except: ["r1"] });
      say("broadcast except r2", { from: "socket", broadcast: true, except: ["r2"] });
      say("except two", { from: "socket", except: ["r2", a.id] });
      say("except b", { from: "namespace", except: [b.id] });
    } else {
      say("socket to r1", { from: "socket", to: ["r1"] });
      say("namespace in r1", { from: "namespace", in: ["r1"] });
      say("socket to r1 and r2", { from: "socket", to: ["r1", "r2"] });
      say("namespace to r1 in r2", { from: "namespace", to: ["r1"], in: ["r2"] });
      say("broadcast", { from: "socket", broadcast: true });
      say("namespace", { from: "namespace" });
      say("one id", { from: "namespace", to: [b.id] });
      say("own id", { from: "socket", to: [a.id] });
      say("unicode room", { from: "namespace", to: ["комната 🚪"] });
      say("empty room", { from: "namespace", to: ["nobody"] });
      await call(a, "echo");
      await call(b, "leave", "r1");
      await call(b, "leave", "never joined");
      say("namespace to r1 without b", { from: "namespace", to: ["r1"] });
    }
    await call(a, "echo");
    for (const socket of Object.values(sockets)) await call(socket, "echo");
    if (t.args.only_v4) {
      const gone = Promise.all([next(b, "disconnect"), next(c, "disconnect")]);
      a.emit("kick room", "r2", true);
      said.kicked = (await gone).map(([reason]) => reason);
      assertSame(await call(a, "echo", "still here"), ["still here"]);
    }
    return Object.fromEntries(Object.entries(said).map(([label, names]) => [label, names.sort()]));
  },

  /** What a parent emits reaches every one of its namespaces, and no other. */
  async parent_namespace(t) {
    const sockets = { one: await t.connect("/dyn-201"), two: await t.connect("/dyn-202"), chat: await t.connect("/chat") };
    const said = {};
    for (const [name, socket] of Object.entries(sockets)) socket.on("said", (label) => (said[label] ||= []).push(name));
    await call(sockets.two, "join", "room");
    sockets.one.emit("say", { from: "parent" }, "said", "all");
    sockets.one.emit("say", { from: "parent", to: ["room"] }, "said", "room");
    await call(sockets.one, "echo");
    for (const socket of Object.values(sockets)) await call(socket, "echo");
    for (const names of Object.values(said)) names.sort();
    return said;
  },

  /** What only a server of v2 has. */
  async v2_members(t) {
    const socket = await t.connect();
    const seen = [];
    for (const event of ["error", "as json", "as bytes"]) socket.on(event, (value) => seen.push([event, describe(value)]));
    const answer = await call(socket, "v2 members", Buffer.from([1, 2]));
    return { answer, seen };
  },

  /** The events of the connection below the sockets. */
  async conn_events(t) {
    const socket = await t.connect();
    await call(socket, "watch conn");
    assertSame(await call(socket, "echo", "text"), ["text"]);
    const bytes = Buffer.from([1, 2]);
    assertSame(await call(socket, "echo", bytes), [bytes]);
    await sleep(50);
    const [{ seen, upgrades, conn }] = await call(socket, "conn report");
    return { seen: seen.filter((entry) => !/ (ping|pong)$/.test(entry)), upgrades, conn };
  },

  /** Broadcasts that ask every recipient, of which "c" never answers "silent". */
  async broadcast_acks(t) {
    const sockets = { a: await t.connect(), b: await t.connect(), c: await t.connect() };
    for (const [name, socket] of Object.entries(sockets)) {
      socket.on("poll", (...args) => args.pop()(name, "not collected"));
      socket.on("binary poll", (bytes, ack) => ack({ [name]: bytes }));
      socket.on("silent", (ack) => name === "c" || ack(name));
      socket.on("empty", (ack) => ack());
    }
    const { a, b, c } = sockets;
    await call(a, "join", "ab");
    await call(b, "join", "ab");
    const ask = async (style, how, event, ...args) => {
      const answered = next(a, "answered");
      a.emit("ask room", style, event === "silent" ? 200 : 3000, how, event, ...args);
      const [status, responses] = describe(await answered);
      return [status, responses.sort((x, y) => (JSON.stringify(x) < JSON.stringify(y) ? -1 : 1))];
    };
    const answers = {};
    for (const style of ["callback", "promise"]) {
      answers[style] = [
        await ask(style, { from: "namespace" }, "poll", 1),
        await ask(style, { from: "namespace", to: ["ab"] }, "poll"),
        await ask(style, { from: "socket", broadcast: true }, "poll"),
        await ask(style, { from: "namespace", to: ["ab"] }, "binary poll", Buffer.from([1, 2])),
        await ask(style, { from: "namespace", to: ["ab"] }, "empty"),
        await ask(style, { from: "namespace", to: ["nobody"] }, "poll"),
        await ask(style, { from: "namespace" }, "silent"),
      ];
    }
    return answers;
  },

  async server_disconnect(t) {
    const root = await t.connect();
    const chat = await t.also(root, "/chat");
    const gone = next(chat, "disconnect");
    chat.emit("kick", false);
    const [reason] = await gone;
    assert.strictEqual(chat.connected, false);
    assertSame(await call(root, "echo", "still here"), ["still here"]);
    return reason;
  },

  async server_disconnect_close(t) {
    const root = await t.connect();
    const chat = await t.also(root, "/chat");
    const gone = Promise.all([root, chat].map((socket) => next(socket, "disconnect")));
    const closed = next(root.io.engine, "close");
    chat.emit("kick", true);
    const reasons = (await gone).map(([reason]) => reason);
    await closed;
    return reasons;
  },

  async client_disconnect(t) {
    const root = await t.connect();
    await call(root, "join", "room");
    const gone = next(root, "disconnect");
    const closed = next(root.io.engine, "close");
    root.disconnect();
    const [reason] = await gone;
    await closed;
    return reason;
  },

  async client_namespace_disconnect(t) {
    const root = await t.connect();
    const chat = await t.also(root, "/chat");
    const gone = next(chat, "disconnect");
    chat.disconnect();
    const [reason] = await gone;
    assertSame(await call(root, "echo", "still here"), ["still here"]);
    t.listenForWelcome(chat).connect();
    await t.connected(chat);
    assertSame(await call(chat, "echo", "back"), ["back"]);
    return reason;
  },

  async client_engine_close(t) {
    const root = await t.connect();
    const chat = await t.also(root, "/chat");
    const gone = Promise.all([root, chat].map((socket) => next(socket, "disconnect")));
    root.io.engine.close();
    return (await gone).map(([reason]) => reason);
  },

  async server_engine_close(t) {
    const root = await t.connect();
    const chat = await t.also(root, "/chat");
    const gone = Promise.all([root, chat].map((socket) => next(socket, "disconnect")));
    root.emit("drop");
    return (await gone).map(([reason]) => reason);
  },

  async reconnect(t) {
    const socket = await t.connect("/", { reconnection: true, reconnectionDelay: 20, randomizationFactor: 0.1 });
    const before = socket.id;
    const gone = next(socket, "disconnect");
    const back = next(socket, "connect");
    t.listenForWelcome(socket);
    socket.emit("drop");
    const [reason] = await gone;
    socket.emit("echo", "while away");
    const kept = next(socket, "echo");
    await back;
    await t.connected(socket);
    assertSame(await kept, ["while away"]);
    assert.notStrictEqual(socket.id, before);
    assertSame(await call(socket, "echo", "back"), ["back"]);
    return reason;
  },

  /** A middleware of the socket that refuses an event. */
  async packet_middleware(t) {
    const socket = await t.connect();
    const errors = [];
    socket.on("error", (error) => errors.push(error));
    socket.emit("forbidden", 1);
    assertSame(await call(socket, "echo", "still here"), ["still here"]);
    return errors;
  },

  /** Stays through several intervals of the server's heartbeat, longer than it would be missed. */
  async heartbeat(t) {
    const socket = await t.connect();
    let beats = 0;
    const beat = protocol === 4 ? "pong" : "ping";
    socket.io.engine.on("packet", ({ type }) => type === beat && beats++);
    const start = Date.now();
    for (const end = start + 3 * WAIT; (beats < 4 || Date.now() < start + t.args.least) && Date.now() < end; ) await sleep(20);
    assert(beats >= 4, `only ${beats} heartbeats`);
    assertSame(await call(socket, "echo", "alive"), ["alive"]);
  },

  /** Connects, says so in a line of its own, and waits for the end that the test brings about. */
  async idle(t) {
    const socket = await t.connect();
    const gone = next(socket, "disconnect", 4 * WAIT);
    print({ event: "ready", tag: t.tag });
    const [reason] = await gone;
    return reason;
  },

  async large(t) {
    const socket = await t.connect();
    const ascii = "x".repeat(1_000_000);
    const unicode = "é😀".repeat(200_000);
    const bytes = Buffer.alloc(1_000_000, "0123456789abcdef\x00\xff", "latin1");
    for (const value of [ascii, unicode, bytes]) {
      const [answer] = await call(socket, "echo", value);
      assert(typeof value === "string" ? answer === value : Buffer.from(answer).equals(bytes), "the large message changed");
    }
    assert.deepStrictEqual(await call(socket, "digest", ascii), [{ type: "string", length: 1_000_000 }]);
    assert.deepStrictEqual(await call(socket, "digest", bytes), [{ type: "bytes", length: 1_000_000 }]);
  },

  async over_limit(t) {
    const socket = await t.connect();
    assertSame(await call(socket, "echo", "x".repeat(t.args.limit / 2)), ["x".repeat(t.args.limit / 2)]);
    const gone = next(socket, "disconnect");
    socket.emit("echo", "x".repeat(2 * t.args.limit));
    const [reason] = await gone;
    return reason;
  },

  /** Together more than the limit, but the client knows the limit from the handshake and sends several payloads. */
  async payload_split(t) {
    const socket = await t.connect();
    const part = "é".repeat(t.args.limit / 10);
    const answers = await Promise.all(Array.from({ length: 30 }, (_, i) => call(socket, "echo", i, part)));
    assertSame(answers.map(([i, text]) => [i, text === part]), Array.from({ length: 30 }, (_, i) => [i, true]));
  },

  async unicode(t) {
    const socket = await t.connect();
    for (const text of [...STRINGS, STRINGS.join("")]) {
      const answer = next(socket, "echo");
      socket.emit("echo", text, { [text]: [text] });
      assertSame(await answer, [text, { [text]: [text] }]);
      const value = [text, Buffer.from(text)];
      assertSame(await call(socket, "echo", value), [value]);
      assert.deepStrictEqual(await call(socket, "digest", text), [{ type: "string", length: text.length }]);
    }
    socket.on("événement 😀", (value, ack) => ack(value));
    const answered = next(socket, "answered");
    socket.emit("ask", "promise", 3000, "événement 😀", "𝕏");
    assertSame(await answered, ["ok", "𝕏"]);
  },

  /** Halves of surrogate pairs, which JavaScript's strings may hold and UTF-8 may not. */
  async lone_surrogates(t) {
    const socket = await t.connect();
    for (const text of ["\ud83d", "a\udc00b", "\ude00\ud83d"]) {
      assertSame(await call(socket, "echo", text, { [text]: 1 }), [text, { [text]: 1 }]);
    }
  },

  /** A thousand messages each way, begun before the upgrade and ended after it. */
  async order(t) {
    const socket = t.open();
    delayUpgrade(socket.io.engine, 120);
    const sequence = new Sequence(socket);
    const [event] = await firstOf(socket, ["connect", "connect_error", "error"]);
    assert.strictEqual(event, "connect");
    assert.strictEqual(socket.io.engine.transport.name, mode === "websocket" ? "websocket" : "polling");
    const acks = [];
    let sent = 0;
    const send = async (until) => {
      while (sent < until) {
        for (const end = sent + 20; sent < end; sent++) {
          if (sent % 50 === 7) socket.emit("seq", sent, Buffer.from([sent & 255, 255]));
          else socket.emit("seq", sent);
        }
        acks.push(call(socket, "echo", sent));
        await sleep(8);
      }
    };
    socket.emit("flood", 800);
    await send(800);
    assert.strictEqual(socket.io.engine.transport.name, mode === "polling" ? "polling" : "websocket");
    await sequence.until(800);
    socket.emit("flood", 200);
    await send(1000);
    await sequence.until(1000);
    assertSame(await Promise.all(acks), acks.map((_, i) => [20 * (i + 1)]));
    await sleep(60); // a message sent twice would follow
    assert.deepStrictEqual(await call(socket, "seq report"), [{ received: 1000, in_order: true }]);
    assert.strictEqual(sequence.fault, null);
    assert.strictEqual(sequence.received, 1000);
  },

  /** Logs in as args.auth, fails to with anything else, and comes back by the id it was given. */
  async admin_login(t) {
    const refusals = [];
    for (const auth of [{}, { ...t.args.auth, password: "wrong" }, { ...t.args.auth, username: "x" }, { sessionId: "0123456789abcdef" }, { sessionId: ["x"] }]) {
      const [, error] = await firstOf(t.openAdmin(auth).socket, ["connect", "connect_error"]);
      refusals.push(error && { message: error.message, data: describe(error.data) });
    }
    const first = t.openAdmin(t.args.auth);
    const [sessionId] = await first.next("session");
    await first.next("config");
    const second = t.openAdmin({ sessionId });
    await second.next("config");
    await sleep(50);
    return { refusals, id: /^[0-9a-f]{16}$/.test(sessionId), again: second.all("session").length };
  },

  /** What an admin is told of the clients of this test, and what of its commands comes of it. */
  async admin(t) {
    const early = await t.connect();
    const admin = t.openAdmin(t.args.auth);
    const [{ supportedFeatures }] = await admin.next("config");
    const [stats] = await admin.next("server_stats");
    const found = {
      features: supportedFeatures,
      stats: {
        keys: Object.keys(stats).sort(),
        about: [stats.serverId, typeof stats.hostname, typeof stats.pid, typeof stats.uptime],
        clients: stats.clientsCount >= 2,
        polling: stats.pollingClientsCount >= (mode === "polling" ? 1 : 0),
        namespaces: stats.namespaces.map(({ name }) => name).filter((name) => ["/", "/admin", "/chat", "/guarded"].includes(name)).sort(),
        admins: stats.namespaces.find(({ name }) => name === "/admin").socketsCount,
      },
    };
    if (supportedFeatures.includes("ALL_EVENTS")) {
      const [all] = await admin.next("all_sockets");
      const mine = all.find(({ id }) => id === early.id);
      found.socket = {
        keys: Object.keys(mine).sort(),
        handshake: Object.keys(mine.handshake).sort(),
        types: Object.values(mine.handshake).map((value) => typeof value).sort(),
        tag: mine.handshake.query.tag === t.tag,
        issued: Math.abs(mine.handshake.issued - Date.now()) < 60_000,
        client: mine.clientId === early.io.engine.id.slice(0, 12),
        transport: mine.transport,
        rooms: mine.rooms.map((room) => (room === early.id ? "<id>" : room)),
        nsp: mine.nsp,
        data: mine.data,
      };
      found.admin = all.filter(({ nsp }) => nsp === "/admin").map(({ id }) => id === admin.socket.id);
    }
    const user = await t.connect();
    const { id } = user;
    const hello = next(user, "hello");
    admin.socket.emit("emit", "/", id, "hello", 1, { two: [2] });
    const greeted = t.args.readonly ? null : await hello;
    await call(user, "join", "room");
    await call(user, "echo", "é", [1, null]);
    user.emit("echo", Buffer.from([1, 2]));
    await next(user, "echo");
    const rooms = async () => (await call(user, "whoami"))[0].rooms;
    admin.socket.emit("join", "/", "vip", id);
    admin.socket.emit("join", "/", "everyone in room", "room");
    admin.socket.emit("leave", "/", "room", id);
    admin.socket.emit("emit", "/nowhere", id, "hello");
    await sleep(50);
    found.commands = { greeted, rooms: await rooms() };
    admin.socket.emit("_disconnect", "/", false, id);
    if (t.args.readonly) {
      await sleep(50);
      assertSame(await call(user, "echo", "still here"), ["still here"]);
      user.disconnect();
    } else found.commands.reason = (await next(user, "disconnect"))[0];
    assertSame(await call(early, "echo", "still here"), ["still here"]);
    early.disconnect();
    if (supportedFeatures.includes("ALL_EVENTS")) {
      const of = (name) => admin.all(name).filter((args) => JSON.stringify(describe(args)).includes(id));
      for (const end = Date.now() + WAIT; of("socket_disconnected").length === 0 && Date.now() < end; ) await sleep(5);
      await sleep(20);
      const [[socket, connected]] = of("socket_connected");
      const told = (name) => of(name).map((args) => describe(args.slice(0, -1)).map((arg) => (arg === id ? "<id>" : arg)));
      found.events = {
        connected: [socket.id === id, socket.rooms.length, /^\d{4}-\d\d-\d\dT[\d:.]{12}Z$/.test(connected)],
        updated: admin.all("socket_updated").filter(([{ id: other }]) => other === id).map(([{ nsp, transport }]) => [nsp, transport]),
        received: told("event_received"),
        sent: told("event_sent"),
        joined: told("room_joined"),
        left: told("room_left").sort(),
        disconnected: told("socket_disconnected"),
        own: [...admin.all("event_received"), ...admin.all("event_sent")].filter(([nsp]) => nsp === "/admin").length,
      };
    }
    found.names = [...new Set(admin.log.map(([name]) => name))].sort();
    const [later] = await admin.next("server_stats");
    found.counted = [...new Set(later.aggregatedEvents.map(({ type }) => type))].sort();
    found.count = later.aggregatedEvents.every(({ timestamp, count }) => timestamp % 1000 === 0 && count > 0);
    return found;
  },

  /** A handshake that the server's hook decides on by args.verdict; what the client is told. */
  async allow_request(t) {
    const { verdict } = t.args;
    const options = { query: { verdict } };
    // Of all transports, that through fetch alone shows the response.
    if (client === "sio-client-4" && mode === "polling") options.transports = [require("eio-client-6").Fetch];
    const socket = t.open("/", options);
    const [event, error] = await firstOf(socket, ["connect", "connect_error"]);
    if (event === "connect") {
      await t.connected(socket);
      assertSame(await call(socket, "echo", "let in"), ["let in"]);
      return [event];
    }
    const status = typeof error.description === "number" ? error.description : null;
    return [event, error.message, status, options.transports ? await error.context.json() : null];
  },

  /** Polls through fetch, which asks for compression and undoes it: how the response of each size was encoded. */
  async http_compression(t) {
    const fetched = globalThis.fetch;
    let last;
    globalThis.fetch = async (url, init = {}) => {
      const response = await fetched(url, init);
      if (init.method === undefined || init.method === "GET") last = response.headers.get("content-encoding");
      return response;
    };
    try {
      const { accept } = t.args;
      const options = { transports: [require("eio-client-6").Fetch], upgrade: false };
      if (accept !== null) options.extraHeaders = { "accept-encoding": accept };
      const socket = t.open("/", options);
      await within(WAIT, "connection", (resolve, reject) => socket.once("connect", resolve).once("connect_error", reject));
      await socket.welcome;
      const found = [];
      for (const size of t.args.sizes) {
        const text = "x".repeat(size - '430[""]'.length);
        assertSame(await call(socket, "echo", text), [text]);
        found.push(last);
      }
      return found;
    } finally {
      globalThis.fetch = fetched;
    }
  },

  /**
   * permessage-deflate as agreed with the server, and the bytes that go over the connection for a text that deflates
   * well, then for random text once and again: in is what the server sends, out what the client does.
   */
  async per_message_deflate(t) {
    const socket = await t.connect("/", { perMessageDeflate: t.args.client });
    const { ws } = socket.io.engine.transport;
    const agreed = ws.extensions ? ws._extensions["permessage-deflate"].params : null;
    const random = require("crypto").randomBytes(2000).toString("hex");
    const bytes = [];
    for (const value of ["x".repeat(20_000), random, random, "x".repeat(t.args.small)]) {
      const before = [ws._socket.bytesRead, ws._socket.bytesWritten];
      assertSame(await call(socket, "echo", value), [value]);
      bytes.push({ in: ws._socket.bytesRead - before[0], out: ws._socket.bytesWritten - before[1] });
    }
    for (const value of [JSON_VALUES, STRINGS, "é😀".repeat(5000), Buffer.alloc(70_000, random), Buffer.alloc(0), ""]) {
      assertSame(await call(socket, "echo", value), [value]);
    }
    return { agreed: agreed && { ...agreed }, bytes };
  },

  async engine_echo(t) {
    const socket = await t.connectEngine();
    const values = ["text", "0", "b not base64", ...STRINGS.filter((text) => text !== "\u001e"), "x".repeat(5000)];
    for (const value of values) {
      const answer = next(socket, "message");
      socket.send(value);
      assertSame(await answer, [value]);
    }
    const answer = next(socket, "message");
    socket.send("transport");
    assertSame(await answer, [mode === "polling" ? "polling" : "websocket"]);
  },

  async engine_binary(t) {
    const socket = await t.connectEngine();
    const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    for (const value of [all, Buffer.from([0]), Buffer.from([4]), Buffer.from("4text"), new Uint8Array([1, 2, 3]), Buffer.alloc(70_000, all)]) {
      const answer = next(socket, "message");
      socket.send(value);
      assertSame(await answer, [value]);
    }
  },

  async engine_large(t) {
    const socket = await t.connectEngine();
    for (const value of ["x".repeat(1_000_000), "é😀".repeat(200_000), Buffer.alloc(1_000_000, 250)]) {
      const answer = next(socket, "message");
      socket.send(value);
      const [back] = await answer;
      assert(typeof value === "string" ? back === value : Buffer.from(back).equals(value), "the large message changed");
    }
  },

  /** A thousand echoes, text and binary by turns, begun before the upgrade and ended after it. */
  async engine_order(t) {
    const socket = t.openEngine();
    delayUpgrade(socket, 80);
    let received = 0;
    let fault = null;
    socket.on("message", (data) => {
      const number = typeof data === "string" ? Number(data) : Buffer.from(data).readUInt16BE(0);
      if (!fault && (number !== received || (typeof data === "string") === (number % 10 === 3))) fault = `${number} as number ${received}`;
      received += 1;
    });
    await next(socket, "open");
    assert.strictEqual(socket.transport.name, mode === "websocket" ? "websocket" : "polling");
    const send = async (from, until) => {
      for (let i = from; i < until; i++) {
        const buffer = Buffer.alloc(2);
        buffer.writeUInt16BE(i);
        socket.send(i % 10 === 3 ? buffer : String(i));
        if (i % 20 === 19) await sleep(6);
      }
    };
    await send(0, 800);
    assert.strictEqual(socket.transport.name, mode === "polling" ? "polling" : "websocket");
    await send(800, 1000);
    for (const end = Date.now() + WAIT; received < 1000 && Date.now() < end; ) await sleep(5);
    await sleep(60);
    assert.strictEqual(fault, null);
    assert.strictEqual(received, 1000);
  },

  async engine_heartbeat(t) {
    const socket = await t.connectEngine();
    let beats = 0;
    socket.on(engineProtocol === 3 ? "pong" : "ping", () => beats++);
    const start = Date.now();
    for (const end = start + 3 * WAIT; (beats < 4 || Date.now() < start + t.args.least) && Date.now() < end; ) await sleep(20);
    assert(beats >= 4, `only ${beats} heartbeats`);
    const answer = next(socket, "message");
    socket.send("alive");
    assertSame(await answer, ["alive"]);
  },

  async engine_client_close(t) {
    const socket = await t.connectEngine();
    const gone = next(socket, "close");
    socket.close();
    return (await gone)[0];
  },

  async engine_server_close(t) {
    const socket = await t.connectEngine();
    const gone = next(socket, "close");
    socket.send("close");
    return (await gone)[0];
  },

  async engine_over_limit(t) {
    const socket = await t.connectEngine();
    const gone = next(socket, "close");
    socket.send("x".repeat(2 * t.args.limit));
    return (await gone)[0];
  },

  /** Handlers with annotations; fastsio's server alone has them. */
  async typed_events(t) {
    const socket = await t.connect("/handlers");
    const refused = [];
    socket.on("refused", (event) => refused.push(event));
    const bytes = Buffer.from([1, 2, 3]);
    const answers = [
      await call(socket, "buy", { name: "tea", price: 2 }, 3),
      await call(socket, "buy", { name: "tea", price: 2.5 }),
      await call(socket, "buy", { name: "tea", price: "2" }),
      await call(socket, "buy"),
      await call(socket, "buy", { name: "tea", price: 2 }, 3, 4),
      await call(socket, "upload", "file", bytes),
      await call(socket, "upload", "file", "text"),
    ];
    socket.emit("upload", "file", bytes);
    socket.emit("upload", null);
    await call(socket, "buy", { name: "still here", price: 0 });
    return { answers: answers.flat(), refused };
  },

  /** Handlers that run one at a time, however long each takes. */
  async serialized(t) {
    const socket = await t.connect("/handlers");
    const times = Array.from({ length: 40 }, (_, i) => (i * 7) % 5);
    const answered = [];
    const all = times.map(async (time, i) => answered.push(...(await call(socket, "step", i, time))));
    const [report] = await call(socket, "steps");
    await Promise.all(all);
    return { report, answered };
  },

  /** A handler that waits for further events. */
  async wait_for(t) {
    const socket = await t.connect("/handlers");
    socket.on("name?", () => socket.emit("name", "Jo"));
    const asked = next(socket, "age?");
    const interview = call(socket, "interview");
    assertSame(await asked, ["Jo"]);
    socket.emit("age", -1);
    assertSame(await call(socket, "age", 7), []);
    return (await interview)[0];
  },

  async engine_idle(t) {
    const socket = await t.connectEngine();
    const gone = next(socket, "close", 4 * WAIT);
    print({ event: "ready", tag: t.tag });
    return (await gone)[0];
  },
};

function print(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

async function run(scenario, url, args) {
  const trial = new Trial(url, args);
  try {
    if (!Object.hasOwn(scenarios, scenario)) throw new Error(`no scenario ${scenario}; there are ${Object.keys(scenarios).join(", ")}`);
    const result = await scenarios[scenario](trial);
    print({ scenario, tag: args.tag, ok: true, result: describe(result) });
    return true;
  } catch (error) {
    print({ scenario, tag: args.tag, ok: false, error: error.stack });
    return false;
  } finally {
    trial.close();
  }
}

process.on("unhandledRejection", (error) => {
  process.stderr.write(`unhandled rejection: ${error.stack}\n`);
});

async function serve() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { scenario, url, args } = JSON.parse(line);
    await run(scenario, url, args);
  }
  process.exit(0);
}

if (request.length === 0) serve();
else {
  const [scenario, url, args] = request;
  run(scenario, url, JSON.parse(args || "{}")).then((ok) => setTimeout(() => process.exit(ok ? 0 : 1), 100));
}
