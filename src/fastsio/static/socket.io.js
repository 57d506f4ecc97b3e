/*! fastsio's Socket.IO client, MIT */
(function(root,factory){typeof exports==="object"&&typeof module!=="undefined"?module.exports=factory():typeof define==="function"&&define.amd?define(factory):root.io=factory()})(typeof self!=="undefined"?self:this,function(){
var io = (() => {
  var __defProp = Object.defineProperty;
  var __getOwnPropDesc = Object.getOwnPropertyDescriptor;
  var __getOwnPropNames = Object.getOwnPropertyNames;
  var __hasOwnProp = Object.prototype.hasOwnProperty;
  var __export = (target, all) => {
    for (var name in all)
      __defProp(target, name, { get: all[name], enumerable: true });
  };
  var __copyProps = (to, from, except, desc) => {
    if (from && typeof from === "object" || typeof from === "function") {
      for (let key of __getOwnPropNames(from))
        if (!__hasOwnProp.call(to, key) && key !== except)
          __defProp(to, key, { get: () => from[key], enumerable: !(desc = __getOwnPropDesc(from, key)) || desc.enumerable });
    }
    return to;
  };
  var __toCommonJS = (mod) => __copyProps(__defProp({}, "__esModule", { value: true }), mod);

  // client/umd.js
  var umd_exports = {};
  __export(umd_exports, {
    default: () => umd_default
  });

  // client/index.js
  var index_exports = {};
  __export(index_exports, {
    Decoder: () => Decoder,
    Emitter: () => Emitter,
    Encoder: () => Encoder,
    Engine: () => Engine,
    Fetch: () => Polling,
    Manager: () => Manager,
    PacketType: () => PacketType,
    Socket: () => Socket,
    WebSocket: () => WebSocketTransport,
    connect: () => io,
    decodePacket: () => decodePacket,
    decodePayload: () => decodePayload,
    default: () => index_default,
    encodePacket: () => encodePacket,
    encodePayload: () => encodePayload,
    engineProtocol: () => engineProtocol,
    io: () => io,
    managers: () => managers,
    protocol: () => protocol
  });

  // client/backoff.js
  function backoff(attempt, { reconnectionDelay, reconnectionDelayMax, randomizationFactor }, random) {
    const delay = reconnectionDelay * 2 ** attempt;
    const deviation = Math.floor(random * randomizationFactor * delay);
    return Math.trunc(Math.min(Math.floor(random * 10) % 2 ? delay + deviation : delay - deviation, reconnectionDelayMax));
  }

  // client/cookies.js
  var MOST = 50;
  var CookieJar = class {
    #cookies = /* @__PURE__ */ new Map();
    /** @param lines Set-Cookie headers, of which only names and values count, and that the cookie is to go */
    add(lines) {
      for (const line of lines) {
        const [pair, ...attributes] = line.split(";");
        const at = pair.indexOf("=");
        const name = pair.slice(0, Math.max(at, 0)).trim();
        if (!name) continue;
        if (attributes.some((one) => /^\s*max-age=(0|-\d+)\s*$/i.test(one))) this.#cookies.delete(name);
        else if (this.#cookies.has(name) || this.#cookies.size < MOST) this.#cookies.set(name, pair.slice(at + 1).trim());
      }
    }
    /** The header with all of them; no header if there is none. */
    get headers() {
      return this.#cookies.size ? { Cookie: [...this.#cookies].map((pair) => pair.join("=")).join("; ") } : {};
    }
  };

  // client/binary.js
  var hasBlob = typeof Blob === "function";
  var isBlob = (value) => hasBlob && value instanceof Blob;
  var isBinary = (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value) || isBlob(value);
  var bytesOf = (data) => data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  var CHUNK = 32768;
  function toBase64(data) {
    const bytes = bytesOf(data);
    let text = "";
    for (let at = 0; at < bytes.length; at += CHUNK) {
      text += String.fromCharCode.apply(null, bytes.subarray(at, at + CHUNK));
    }
    return btoa(text);
  }
  function fromBase64(text) {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  }

  // client/engine-codec.js
  var TYPES = ["open", "close", "ping", "pong", "message", "upgrade", "noop"];
  var SEPARATOR = "";
  var PARSER_ERROR = { type: "error", data: "parser error" };
  function encodePacket({ type, data }, binary = true) {
    if (isBinary(data)) return binary ? bytesOf(data) : "b" + toBase64(data);
    return TYPES.indexOf(type) + (data ?? "");
  }
  function decodePacket(data) {
    if (typeof data !== "string") return { type: "message", data };
    if (data[0] === "b") {
      try {
        return { type: "message", data: fromBase64(data.slice(1)) };
      } catch {
        return PARSER_ERROR;
      }
    }
    const type = data >= "0" && data < "7" && TYPES[data[0]];
    if (!type) return PARSER_ERROR;
    return data.length > 1 ? { type, data: data.slice(1) } : { type };
  }
  function encodePayload(packets) {
    return packets.map((packet) => encodePacket(packet, false)).join(SEPARATOR);
  }
  function decodePayload(text) {
    const packets = [];
    for (const part of text.split(SEPARATOR)) {
      const packet = decodePacket(part);
      packets.push(packet);
      if (packet.type === "error") break;
    }
    return packets;
  }
  function sizeOf(data) {
    if (data === void 0) return 0;
    if (typeof data === "string") return new TextEncoder().encode(data).length;
    return Math.ceil((data.byteLength ?? data.size) * 1.33);
  }

  // client/emitter.js
  function report(error) {
    queueMicrotask(() => {
      throw error;
    });
  }
  function guarded(callback, self, args) {
    try {
      callback.apply(self, args);
    } catch (error) {
      report(error);
    }
  }
  var Emitter = class {
    #listeners = /* @__PURE__ */ new Map();
    on(event, listener) {
      const list = this.#listeners.get(event);
      if (list) list.push(listener);
      else this.#listeners.set(event, [listener]);
      return this;
    }
    once(event, listener) {
      const wrapper = (...args) => {
        this.off(event, wrapper);
        listener.apply(this, args);
      };
      wrapper.listener = listener;
      return this.on(event, wrapper);
    }
    /** Without a listener all of that event are removed, without an event all. */
    off(event, listener) {
      if (event === void 0) {
        this.#listeners.clear();
      } else if (listener === void 0) {
        this.#listeners.delete(event);
      } else {
        const list = this.#listeners.get(event) ?? [];
        const index = list.findIndex((one) => one === listener || one.listener === listener);
        if (index >= 0) list.splice(index, 1);
        if (list.length === 0) this.#listeners.delete(event);
      }
      return this;
    }
    emit(event, ...args) {
      for (const listener of [...this.#listeners.get(event) ?? []]) guarded(listener, this, args);
      return this;
    }
    /** What was given to `on` and `once`. */
    listeners(event) {
      return (this.#listeners.get(event) ?? []).map((one) => one.listener ?? one);
    }
    hasListeners(event) {
      return this.#listeners.has(event);
    }
  };
  var aliases = {
    addEventListener: "on",
    addListener: "on",
    removeListener: "off",
    removeEventListener: "off",
    removeAllListeners: "off"
  };
  for (const [alias, name] of Object.entries(aliases)) {
    Emitter.prototype[alias] = function(...args) {
      return this[name](...args);
    };
  }
  function subscribe(emitter, event, listener) {
    emitter.on(event, listener);
    return () => emitter.off(event, listener);
  }

  // client/transports.js
  var GOODBYE_TIMEOUT = 5e3;
  function withoutBlobs(packets) {
    if (!packets.some((packet) => isBlob(packet.data))) return packets;
    return Promise.all(
      packets.map(async (packet) => isBlob(packet.data) ? { ...packet, data: await packet.data.arrayBuffer() } : packet)
    );
  }
  var Transport = class extends Emitter {
    writable = false;
    readyState = "closed";
    constructor(options) {
      super();
      this.opts = options;
      this.query = options.query;
    }
    open() {
      this.readyState = "opening";
      this._open();
    }
    close() {
      if (this.readyState === "closed") return;
      const opened = this.readyState !== "opening";
      this._onClose();
      this._close(opened);
    }
    async send(packets) {
      this.writable = false;
      try {
        const ready = withoutBlobs(packets);
        await this._send(ready === packets ? packets : await ready);
      } catch (error) {
        this._onError(`${this.name} write error`, error);
      }
    }
    _onOpen() {
      this.readyState = "open";
      this.writable = true;
      this.emit("open");
    }
    _onDrain() {
      this.writable = true;
      this.emit("drain");
    }
    _onError(message, description, context) {
      if (this.readyState === "closed") return;
      const error = new Error(message);
      this.emit("error", Object.assign(error, { type: "TransportError", description, context }));
    }
    _onClose(details) {
      this.readyState = "closed";
      this.writable = false;
      this.emit("close", details);
    }
    _uri(secure, plain) {
      const { secure: isSecure, hostname, port, path, timestampParam } = this.opts;
      const query = new URLSearchParams(this.query);
      if (this._stamped) query.set(timestampParam, Date.now().toString(36) + Math.random().toString(36).slice(2, 7));
      if (this.opts.forceBase64) query.set("b64", "1");
      return `${isSecure ? secure : plain}://${hostname}${port ? ":" + port : ""}${path}?${query}`;
    }
  };
  var Polling = class extends Transport {
    #requests = /* @__PURE__ */ new Set();
    #polling = false;
    get name() {
      return "polling";
    }
    get _stamped() {
      return this.opts.timestampRequests !== false;
    }
    _open() {
      this.#poll();
    }
    /** Calls back once neither a poll nor a POST is under way; none begins after. */
    pause(done) {
      this.readyState = "pausing";
      let waiting = 1;
      const settled = () => {
        if (--waiting > 0 || this.readyState !== "pausing") return;
        this.readyState = "paused";
        done();
      };
      if (this.#polling) {
        waiting += 1;
        this.once("pollComplete", settled);
      }
      if (!this.writable) {
        waiting += 1;
        this.once("drain", settled);
      }
      settled();
    }
    async #poll() {
      this.#polling = true;
      let text;
      try {
        text = await this.#request("GET");
      } catch (error) {
        return this._onError("xhr poll error", error.status ?? error, error.context);
      }
      for (const packet of decodePayload(text)) {
        if (this.readyState === "closed") return;
        if (packet.type === "close") return this._onClose({ description: "transport closed by the server" });
        if (packet.type === "open" && this.readyState === "opening") this._onOpen();
        this.emit("packet", packet);
      }
      this.#polling = false;
      this.emit("pollComplete");
      if (this.readyState === "open") this.#poll();
    }
    async _send(packets) {
      if (this.readyState === "closed") return;
      try {
        await this.#request("POST", encodePayload(packets));
      } catch (error) {
        return this._onError("xhr post error", error.status ?? error, error.context);
      }
      if (this.readyState !== "closed") this._onDrain();
    }
    /** @param last whether this request may outlive the transport, and the page */
    async #request(method, body, last = false) {
      const { cookieJar, extraHeaders, requestTimeout, withCredentials } = this.opts;
      const aborter = new AbortController();
      if (!last) this.#requests.add(aborter);
      const limit = last ? GOODBYE_TIMEOUT : requestTimeout;
      const timer = limit && setTimeout(() => aborter.abort(), limit);
      try {
        const response = await fetch(this._uri("https", "http"), {
          method,
          body,
          headers: { ...body && { "Content-Type": "text/plain;charset=UTF-8" }, ...cookieJar?.headers, ...extraHeaders },
          credentials: withCredentials ? "include" : "same-origin",
          cache: "no-store",
          keepalive: last,
          signal: aborter.signal
        });
        cookieJar?.add(response.headers.getSetCookie());
        const text = await response.text();
        if (response.status !== 200) throw { status: response.status, context: { response, text } };
        return text;
      } finally {
        clearTimeout(timer);
        this.#requests.delete(aborter);
      }
    }
    _close(opened) {
      const abort = () => this.#requests.forEach((aborter) => aborter.abort());
      if (opened) this.#request("POST", encodePayload([{ type: "close" }]), true).then(abort, abort);
      else abort();
    }
  };
  var inNode = typeof window === "undefined" && Boolean(globalThis.process?.versions?.node);
  var WebSocketTransport = class extends Transport {
    get name() {
      return "websocket";
    }
    get _stamped() {
      return this.opts.timestampRequests;
    }
    static available(options) {
      return Boolean(options.WebSocket ?? globalThis.WebSocket);
    }
    _open() {
      const { WebSocket: Given, protocols = [], cookieJar, extraHeaders } = this.opts;
      const headers = { ...cookieJar?.headers, ...extraHeaders };
      const uri = this._uri("wss", "ws");
      let socket;
      try {
        if (Given) socket = new Given(uri, protocols, { headers });
        else socket = new WebSocket(uri, inNode && Object.keys(headers).length ? { protocols, headers } : protocols);
      } catch (error) {
        queueMicrotask(() => this._onError("websocket error", error));
        return;
      }
      this.ws = socket;
      socket.binaryType = "arraybuffer";
      socket.onopen = () => this._onOpen();
      socket.onmessage = ({ data }) => this.emit("packet", decodePacket(data));
      socket.onerror = (event) => this._onError("websocket error", event);
      socket.onclose = (event) => {
        if (this.readyState !== "closed") this._onClose({ description: "websocket connection closed", context: event });
      };
    }
    /** Nothing to wait for: what came in is delivered already. */
    pause(done) {
      this.readyState = "paused";
      done();
    }
    _send(packets) {
      if (this.readyState === "closed") return;
      for (const packet of packets) this.ws.send(encodePacket(packet, !this.opts.forceBase64));
      queueMicrotask(() => this.readyState !== "closed" && this._onDrain());
    }
    _close() {
      if (!this.ws) return;
      this.ws.onopen = this.ws.onmessage = this.ws.onclose = null;
      this.ws.onerror = () => {
      };
      this.ws.close();
    }
  };

  // client/engine.js
  var engineProtocol = 4;
  var native = { setTimeout, clearTimeout };
  function timersFor({ useNativeTimers, autoUnref }) {
    const source = () => useNativeTimers ? native : globalThis;
    return {
      set(callback, delay) {
        const timer = source().setTimeout.call(globalThis, callback, delay);
        if (autoUnref) timer.unref?.();
        return timer;
      },
      clear: (timer) => source().clearTimeout.call(globalThis, timer)
    };
  }
  var TRANSPORTS = { polling: Polling, websocket: WebSocketTransport };
  var DEFAULTS = {
    path: "/engine.io",
    addTrailingSlash: true,
    transports: ["polling", "websocket"],
    upgrade: true,
    timestampParam: "t"
  };
  function chooseTransports(options) {
    const chosen = /* @__PURE__ */ new Map();
    for (const one of options.transports) {
      const Class = typeof one === "string" ? TRANSPORTS[one] : one;
      if (!Class) {
        if (one === "webtransport") continue;
        throw new Error(`unknown transport "${one}"`);
      }
      if (Class.available?.(options) ?? true) chosen.set(Class.prototype.name, Class);
    }
    return chosen;
  }
  function locate(uri, options) {
    const url = new URL(uri);
    const secure = /^(https|wss):$/.test(url.protocol);
    const query = Object.fromEntries(new URLSearchParams(url.search || options.query || ""));
    return { secure, hostname: url.hostname, port: url.port, query };
  }
  var Engine = class _Engine extends Emitter {
    /** Whether the last session of this process reached WebSocket (option `rememberUpgrade`). */
    static priorWebsocketSuccess = false;
    readyState = "closed";
    upgrading = false;
    writeBuffer = [];
    id = null;
    #timers;
    #deadlineTimer;
    #deadline = Infinity;
    #sent = 0;
    #probes = [];
    #unsubscribe = [];
    constructor(uri, options = {}) {
      super();
      this.opts = { ...DEFAULTS, ...options };
      Object.assign(this.opts, locate(uri, this.opts));
      this.opts.path = this.opts.path.replace(/\/$/, "") + (this.opts.addTrailingSlash ? "/" : "");
      if (inNode && this.opts.withCredentials) this.opts.cookieJar = new CookieJar();
      this.#timers = timersFor(this.opts);
      this.transports = chooseTransports(this.opts);
      this.#watchPage();
      this.#open();
    }
    #open() {
      const names = [...this.transports.keys()];
      this.readyState = "opening";
      if (names.length === 0) {
        queueMicrotask(() => this.#onError(new Error("No transports available")));
        return;
      }
      const remembered = this.opts.rememberUpgrade && _Engine.priorWebsocketSuccess && names.includes("websocket");
      this.#use(this.#create(remembered ? "websocket" : names[0]));
      this.transport.open();
    }
    #create(name) {
      const own = { ...this.opts, ...this.opts.transportOptions?.[name] };
      own.query = { ...own.query, EIO: engineProtocol, transport: name };
      if (this.id) own.query.sid = this.id;
      return new (this.transports.get(name))(own);
    }
    #use(transport) {
      this.transport?.off();
      this.transport = transport;
      transport.on("drain", () => this.#onDrain()).on("packet", (packet) => this.#onPacket(packet)).on("error", (error) => this.#onError(error)).on("close", (details) => this.#onClose("transport close", details));
    }
    /** What the page goes through, and the connection with it. */
    #watchPage() {
      if (typeof addEventListener !== "function") return;
      const watch = (event, listener) => {
        addEventListener(event, listener);
        this.#unsubscribe.push(() => removeEventListener(event, listener));
      };
      const leave = () => {
        this.off();
        this.#onClose("forced close");
      };
      watch("pagehide", (event) => {
        if (event.persisted) this.#onClose("transport close", { description: "page hidden" });
        else leave();
      });
      if (this.opts.closeOnBeforeunload) watch("beforeunload", leave);
      if (this.opts.hostname !== "localhost") {
        watch("offline", () => this.#onClose("transport close", { description: "network connection lost" }));
      }
    }
    #onPacket(packet) {
      if (this.readyState === "closed") return;
      this.emit("packet", packet);
      this.emit("heartbeat");
      switch (packet.type) {
        case "open":
          if (this.readyState === "opening") this.#onHandshake(packet.data);
          break;
        case "ping":
          this.#send("pong");
          this.emit("ping");
          this.emit("pong");
          this.#expectPing();
          break;
        case "error":
          this.#onError(Object.assign(new Error("server error"), { code: packet.data }));
          break;
        case "message":
          this.emit("data", packet.data);
          this.emit("message", packet.data);
      }
    }
    #onHandshake(text) {
      let data;
      try {
        data = JSON.parse(text);
      } catch {
      }
      if (typeof data?.sid !== "string" || !(data.pingInterval + data.pingTimeout > 0)) {
        this.#onError(new Error("malformed handshake"));
        return;
      }
      this.emit("handshake", data);
      this.id = this.transport.query.sid = data.sid;
      this.pingInterval = data.pingInterval;
      this.pingTimeout = data.pingTimeout;
      this.maxPayload = data.maxPayload;
      this.upgrades = (data.upgrades ?? []).filter((name) => this.transports.has(name));
      this.readyState = "open";
      _Engine.priorWebsocketSuccess = this.transport.name === "websocket";
      this.emit("open");
      this.flush();
      if (this.readyState !== "open") return;
      this.#expectPing();
      if (this.opts.upgrade) this.upgrades.forEach((name) => this._probe(name));
    }
    #expectPing() {
      const delay = this.pingInterval + this.pingTimeout;
      this.#timers.clear(this.#deadlineTimer);
      this.#deadline = Date.now() + delay;
      this.#deadlineTimer = this.#timers.set(() => this.#onClose("ping timeout"), delay);
    }
    /** Whether a ping is overdue though its timer has not run, as after a sleep; then the session closes. */
    hasPingExpired() {
      if (Date.now() <= this.#deadline) return false;
      queueMicrotask(() => this.#onClose("ping timeout"));
      return true;
    }
    /** Not private, so that a test can put it off. */
    _probe(name) {
      const transport = this.#create(name);
      const give = () => {
        transport.off();
        transport.close();
        this.#probes = this.#probes.filter((other) => other !== give);
      };
      const fail = (reason) => {
        give();
        this.upgrading = false;
        this.emit("upgradeError", Object.assign(new Error("probe error"), { transport: name, cause: reason }));
        this.flush();
      };
      this.#probes.push(give);
      transport.on("open", () => transport.send([{ type: "ping", data: "probe" }])).once("packet", ({ type, data }) => {
        if (type !== "pong" || data !== "probe") return fail("no answer to the probe");
        if (this.upgrading) return give();
        this.upgrading = true;
        this.emit("upgrading", transport);
        this.#probes.filter((other) => other !== give).forEach((other) => other());
        _Engine.priorWebsocketSuccess = name === "websocket";
        this.transport.pause(() => {
          if (this.readyState === "closed") return;
          this.#probes = [];
          transport.off();
          this.#use(transport);
          transport.send([{ type: "upgrade" }]);
          this.upgrading = false;
          this.emit("upgrade", transport);
          this.flush();
        });
      }).on("error", fail).on("close", fail);
      transport.open();
    }
    #onDrain() {
      this.writeBuffer.splice(0, this.#sent);
      this.#sent = 0;
      if (this.writeBuffer.length === 0) this.emit("drain");
      else this.flush();
    }
    /** Hands what waits to the transport, if that can take it. */
    flush() {
      if (this.readyState === "closed" || this.upgrading || !this.transport.writable || !this.writeBuffer.length) return;
      const packets = this.#writable();
      this.#sent = packets.length;
      this.transport.send(packets);
      this.emit("flush");
    }
    /** As many packets as one POST may carry, but one at least. */
    #writable() {
      if (!this.maxPayload || this.transport.name !== "polling") return [...this.writeBuffer];
      let size = 1;
      const end = this.writeBuffer.findIndex(({ data }, index) => {
        size += sizeOf(data) + (index && 2);
        return index > 0 && size > this.maxPayload;
      });
      return this.writeBuffer.slice(0, end < 0 ? void 0 : end);
    }
    /** Sends a message: a string or binary. `sent` is called once the transport has it. */
    send(data, options, sent) {
      this.#send("message", data, options, sent);
      return this;
    }
    write(data, options, sent) {
      return this.send(data, options, sent);
    }
    #send(type, data, options, sent) {
      if (this.readyState === "closing" || this.readyState === "closed") return;
      const packet = { type, data, options };
      this.emit("packetCreate", packet);
      this.writeBuffer.push(packet);
      if (sent) this.once("flush", sent);
      this.flush();
    }
    /** Ends the session, after what waits has been sent and a running upgrade has ended. */
    close() {
      if (this.readyState !== "opening" && this.readyState !== "open") return this;
      const settled = () => this.writeBuffer.length === 0 && !this.upgrading;
      const attempt = () => {
        if (settled()) this.#onClose("forced close");
      };
      const opened = this.readyState === "open";
      this.readyState = "closing";
      if (!opened || settled()) {
        this.#onClose("forced close");
      } else {
        for (const event of ["drain", "upgrade", "upgradeError"]) this.on(event, attempt);
      }
      return this;
    }
    #onError(error) {
      if (this.readyState === "closed") return;
      _Engine.priorWebsocketSuccess = false;
      if (this.readyState === "opening" && this.opts.tryAllTransports && this.transports.size > 1) {
        this.transports.delete(this.transport.name);
        this.transport.off();
        this.transport.close();
        this.#open();
        return;
      }
      this.#onClose("transport error", error);
    }
    #onClose(reason, details) {
      const state = this.readyState;
      if (state === "closed") return;
      this.readyState = "closed";
      this.#timers.clear(this.#deadlineTimer);
      this.#unsubscribe.forEach((stop) => stop());
      [...this.#probes].forEach((give) => give());
      this.transport?.off();
      this.transport?.close();
      this.id = null;
      if (details instanceof Error) this.emit("error", details);
      else if (state === "opening" && reason !== "forced close") {
        this.emit("error", Object.assign(new Error(reason), details));
      }
      this.emit("close", reason, details);
      this.writeBuffer = [];
      this.#sent = 0;
    }
  };

  // client/parser.js
  var parser_exports = {};
  __export(parser_exports, {
    Decoder: () => Decoder,
    Encoder: () => Encoder,
    PacketType: () => PacketType,
    RESERVED: () => RESERVED,
    protocol: () => protocol
  });
  var protocol = 5;
  var PacketType = {
    CONNECT: 0,
    DISCONNECT: 1,
    EVENT: 2,
    ACK: 3,
    CONNECT_ERROR: 4,
    BINARY_EVENT: 5,
    BINARY_ACK: 6
  };
  var { CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK } = PacketType;
  var BINARY = BINARY_EVENT - EVENT;
  var RESERVED = /* @__PURE__ */ new Set([
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener"
  ]);
  var Encoder = class {
    /** The text, and after it the attachments as they were given. */
    encode({ type, nsp, data, id }) {
      const attachments = [];
      let json = "";
      if (data !== void 0) {
        const hold = (type === EVENT || type === ACK) && function(key, value) {
          if (!isBinary(this[key])) return value;
          return { _placeholder: true, num: attachments.push(this[key]) - 1 };
        };
        json = JSON.stringify(data, hold || void 0);
      }
      const head = attachments.length ? `${type + BINARY}${attachments.length}-` : type;
      return [`${head}${nsp && nsp !== "/" ? nsp + "," : ""}${id ?? ""}${json}`, ...attachments];
    }
  };
  var isObject = (value) => Object.prototype.toString.call(value) === "[object Object]";
  function isValid(type, data) {
    switch (type) {
      case CONNECT:
        return data === void 0 || isObject(data);
      case DISCONNECT:
        return data === void 0;
      case CONNECT_ERROR:
        return typeof data === "string" || isObject(data);
      case EVENT:
        return Array.isArray(data) && (typeof data[0] === "number" || typeof data[0] === "string" && !RESERVED.has(data[0]));
      default:
        return Array.isArray(data);
    }
  }
  function decodeText(text, maxAttachments) {
    const [, digit, count, nsp = "/", id, json] = /^([0-6])(?:(?<=[56])(\d+)-)?(?:(\/[^,]*),?)?(\d*)([^]*)$/.exec(text) ?? [];
    if (digit === void 0) throw new Error("unknown packet type " + text[0]);
    let type = Number(digit);
    if (type >= BINARY_EVENT) {
      if (!(count > 0)) throw new Error("Illegal attachments");
      if (count > maxAttachments) throw new Error("too many attachments");
      type -= BINARY;
    }
    const packet = { type, nsp };
    if (id) packet.id = Number(id);
    if (json) {
      try {
        packet.data = JSON.parse(json);
      } catch {
        throw new Error("invalid payload");
      }
      if (!isValid(type, packet.data)) throw new Error("invalid payload");
    }
    return { packet, attachments: [], missing: Number(count ?? 0) };
  }
  function restore(value, attachments) {
    if (value === null || typeof value !== "object") return value;
    if (value._placeholder === true) {
      if (!Number.isInteger(value.num) || !(value.num in attachments)) throw new Error("illegal attachments");
      return attachments[value.num];
    }
    for (const key of Object.keys(value)) value[key] = restore(value[key], attachments);
    return value;
  }
  var Decoder = class extends Emitter {
    #maxAttachments;
    #partial = null;
    constructor({ maxAttachments = 10 } = {}) {
      super();
      this.#maxAttachments = maxAttachments;
    }
    /** @throws {Error} if the text or attachment is not what may come next */
    add(chunk) {
      if (typeof chunk === "string") {
        if (this.#partial) throw new Error("got plaintext data when reconstructing a packet");
        const partial = decodeText(chunk, this.#maxAttachments);
        if (partial.missing) this.#partial = partial;
        else this.emit("decoded", partial.packet);
      } else if (isBinary(chunk)) {
        const partial = this.#partial;
        if (!partial) throw new Error("got binary data when not reconstructing a packet");
        if (partial.attachments.push(chunk) < partial.missing) return;
        this.#partial = null;
        partial.packet.data = restore(partial.packet.data, partial.attachments);
        this.emit("decoded", partial.packet);
      } else {
        throw new Error("Unknown type: " + chunk);
      }
    }
    /** Forgets a packet whose attachments have not all come. */
    destroy() {
      this.#partial = null;
    }
  };

  // client/socket.js
  var takesError = /* @__PURE__ */ Symbol("takes an error");
  var CatchAll = class {
    list = [];
    remove(listener) {
      if (!listener) this.list = [];
      else this.list = this.list.filter((one) => one !== listener);
    }
    call(self, args) {
      for (const listener of [...this.list]) guarded(listener, self, args);
    }
  };
  var Socket = class extends Emitter {
    connected = false;
    /** Whether the last connection took up the one before, with nothing missed. */
    recovered = false;
    receiveBuffer = [];
    sendBuffer = [];
    #subscriptions = null;
    #acks = /* @__PURE__ */ new Map();
    #ids = 0;
    #flags = {};
    #incoming = new CatchAll();
    #outgoing = new CatchAll();
    /** Of the option `retries`: what waits for its acknowledgement, the head under way. */
    #queue = [];
    // The private id and the last offset seen: what the server recovers the connection by.
    #pid;
    #offset;
    constructor(io2, nsp, options = {}) {
      super();
      this.io = io2;
      this.nsp = nsp;
      this.opts = options;
      this.auth = options.auth;
    }
    get disconnected() {
      return !this.connected;
    }
    /** Whether it is connected or will be, as far as it is up to this side. */
    get active() {
      return this.#subscriptions !== null;
    }
    connect() {
      if (this.connected) return this;
      if (!this.#subscriptions) {
        this.#subscriptions = [
          subscribe(this.io, "open", () => this.#onOpen()),
          subscribe(this.io, "packet", (packet) => this.#onPacket(packet)),
          subscribe(this.io, "error", (error) => this.connected || this.emitReserved("connect_error", error)),
          subscribe(this.io, "close", (reason, details) => this.#onClose(reason, details))
        ];
        if (this.io.readyState === "open") this.#onOpen();
      }
      if (!this.io.reconnecting) this.io.open();
      return this;
    }
    open() {
      return this.connect();
    }
    disconnect() {
      const { connected } = this;
      if (connected) this.#packet({ type: PacketType.DISCONNECT });
      this.#leave();
      if (connected) this.#onClose("io client disconnect");
      return this;
    }
    close() {
      return this.disconnect();
    }
    #leave() {
      this.#subscriptions?.forEach((end) => end());
      this.#subscriptions = null;
      this.io.release();
    }
    // --- Sending
    /** Emits locally, past the rule that reserved names are not sent. */
    emitReserved(event, ...args) {
      return super.emit(event, ...args);
    }
    send(...args) {
      return this.emit("message", ...args);
    }
    emit(event, ...args) {
      if (RESERVED.has(event)) throw new Error(`"${event}" is a reserved event name`);
      const flags = this.#flags;
      this.#flags = {};
      const callback = typeof args.at(-1) === "function" ? args.pop() : void 0;
      if (this.opts.retries && !flags.volatile) this.#enqueue([event, ...args], callback, flags);
      else this.#dispatch([event, ...args], callback, flags);
      return this;
    }
    /** A promise of the first argument of the answer; rejected on timeout and on disconnection. */
    emitWithAck(event, ...args) {
      return new Promise((resolve2, reject) => {
        const callback = (error, answer) => error ? reject(error) : resolve2(answer);
        callback[takesError] = true;
        this.emit(event, ...args, callback);
      });
    }
    #dispatch(data, callback, flags) {
      const ready = this.connected && !this.io.engine.hasPingExpired();
      const dropped = flags.volatile && !(ready && this.io.engine.transport.writable);
      const packet = { type: PacketType.EVENT, data };
      const options = { compress: flags.compress !== false };
      if (callback) {
        packet.id = this.#ids++;
        this.#expectAck(packet.id, callback, flags.timeout ?? this.opts.ackTimeout, dropped);
      }
      if (dropped) return;
      if (ready) this.#sendEvent(packet, options);
      else this.sendBuffer.push({ packet, options });
    }
    #sendEvent(packet, options) {
      this.#outgoing.call(this, packet.data);
      this.#packet(packet, options);
    }
    #packet(packet, options = { compress: true }) {
      this.io.packet({ ...packet, nsp: this.nsp }, options);
    }
    #expectAck(id, callback, timeout, dropped) {
      if (timeout === void 0) {
        if (!dropped || callback[takesError]) this.#acks.set(id, callback);
        return;
      }
      const settle = (...args) => {
        clearTimeout(timer);
        guarded(callback, this, args);
      };
      settle[takesError] = true;
      const timer = setTimeout(() => {
        this.#acks.delete(id);
        this.sendBuffer = this.sendBuffer.filter(({ packet }) => packet.id !== id);
        settle(new Error("operation has timed out"));
      }, timeout);
      this.#acks.set(id, settle);
    }
    /** Flag: drop the packet instead of keeping it while there is no connection ready for it. */
    get volatile() {
      this.#flags.volatile = true;
      return this;
    }
    /** Flag: how long the acknowledgement may take, in milliseconds; its callback takes an error first. */
    timeout(milliseconds) {
      this.#flags.timeout = milliseconds;
      return this;
    }
    /** Flag, noted on the packet and not more. */
    compress(value) {
      this.#flags.compress = value;
      return this;
    }
    #enqueue(data, callback, flags) {
      this.#queue.push({ data, callback, flags, tries: 0, pending: false });
      this.#advance();
    }
    /** Sends the head of the queue, unless it is under way. */
    #advance() {
      const entry = this.#queue[0];
      if (!entry || !this.connected || entry.pending) return;
      entry.pending = true;
      entry.tries += 1;
      const settle = (error, ...answer) => {
        if (entry !== this.#queue[0]) return;
        entry.pending = false;
        if (!error || entry.tries > this.opts.retries) {
          this.#queue.shift();
          if (entry.callback) guarded(entry.callback, this, error ? [error] : [null, ...answer]);
        }
        this.#advance();
      };
      settle[takesError] = true;
      try {
        this.#dispatch(entry.data, settle, entry.flags);
      } catch (error) {
        this.#queue.shift();
        guarded(this.#advance, this, []);
        throw error;
      }
    }
    // --- What the manager reports
    #onOpen() {
      const { engine } = this.io;
      if (typeof this.auth !== "function") return this.#sendConnect(this.auth);
      let answered = false;
      const answer = (auth) => {
        if (answered || !this.active || this.io.engine !== engine || this.io.readyState !== "open") return;
        answered = true;
        this.#sendConnect(auth);
      };
      guarded(this.auth, this, [answer]);
    }
    #sendConnect(auth) {
      const data = this.#pid ? { pid: this.#pid, offset: this.#offset, ...auth } : auth;
      this.#packet({ type: PacketType.CONNECT, data });
    }
    #onClose(reason, details) {
      this.connected = false;
      this.receiveBuffer = [];
      delete this.id;
      this.emitReserved("disconnect", reason, details);
      this.#dropAcks();
    }
    /** Gives up the acknowledgements of what was sent; what waits to be sent can still get its own. */
    #dropAcks() {
      const waiting = new Set(this.sendBuffer.map(({ packet }) => packet.id));
      for (const [id, callback] of [...this.#acks]) {
        if (waiting.has(id)) continue;
        this.#acks.delete(id);
        if (callback[takesError]) guarded(callback, this, [new Error("socket has been disconnected")]);
      }
    }
    #onPacket(packet) {
      if (packet.nsp !== this.nsp) return;
      const { data } = packet;
      switch (packet.type) {
        case PacketType.CONNECT:
          if (data?.sid) {
            this.#onConnect(data);
          } else {
            this.emitReserved(
              "connect_error",
              new Error("the server speaks the protocol of Socket.IO v2, which this client does not")
            );
          }
          break;
        case PacketType.EVENT:
        case PacketType.BINARY_EVENT:
          this.#onEvent(packet);
          break;
        case PacketType.ACK:
        case PacketType.BINARY_ACK:
          this.#onAck(packet);
          break;
        case PacketType.DISCONNECT:
          this.#leave();
          this.#onClose("io server disconnect");
          break;
        case PacketType.CONNECT_ERROR: {
          const error = new Error(data?.message ?? data);
          error.data = data?.data;
          this.#leave();
          this.emitReserved("connect_error", error);
        }
      }
    }
    #onConnect({ sid, pid }) {
      this.id = sid;
      this.recovered = Boolean(pid) && this.#pid === pid;
      this.#pid = pid;
      this.connected = true;
      this.receiveBuffer.splice(0).forEach((args) => this.#deliver(args));
      this.sendBuffer.splice(0).forEach(({ packet, options }) => guarded(this.#sendEvent, this, [packet, options]));
      guarded(this.#advance, this, []);
      this.emitReserved("connect");
    }
    #onEvent({ data = [], id }) {
      const args = [...data];
      if (id !== void 0) args.push(this.#answer(id));
      if (this.connected) this.#deliver(args);
      else this.receiveBuffer.push(args);
    }
    #deliver(args) {
      this.#incoming.call(this, args);
      super.emit(...args);
      const last = args.at(-1);
      if (this.#pid && typeof last === "string") this.#offset = last;
    }
    /** The function that acknowledges an event: the first call counts, while the connection is the same. */
    #answer(id) {
      const { engine } = this.io;
      let answered = false;
      return (...args) => {
        if (answered || !this.connected || this.io.engine !== engine) return;
        answered = true;
        this.#packet({ type: PacketType.ACK, id, data: args });
      };
    }
    #onAck({ id, data = [] }) {
      const callback = this.#acks.get(id);
      if (!callback) return;
      this.#acks.delete(id);
      guarded(callback, this, callback[takesError] ? [null, ...data] : data);
    }
    // --- Catch-all listeners
    onAny(listener) {
      this.#incoming.list.push(listener);
      return this;
    }
    prependAny(listener) {
      this.#incoming.list.unshift(listener);
      return this;
    }
    offAny(listener) {
      this.#incoming.remove(listener);
      return this;
    }
    listenersAny() {
      return this.#incoming.list;
    }
    onAnyOutgoing(listener) {
      this.#outgoing.list.push(listener);
      return this;
    }
    prependAnyOutgoing(listener) {
      this.#outgoing.list.unshift(listener);
      return this;
    }
    offAnyOutgoing(listener) {
      this.#outgoing.remove(listener);
      return this;
    }
    listenersAnyOutgoing() {
      return this.#outgoing.list;
    }
  };

  // client/manager.js
  var number = (value, fallback) => typeof value === "number" ? value : fallback;
  var Manager = class extends Emitter {
    nsps = {};
    /** How many delays have been computed since the last success. */
    #attempts = 0;
    #state = "closed";
    #reconnecting = false;
    #skipReconnect = false;
    #timers;
    /** Ends whatever this connection or attempt has going: listeners and timers. */
    #endings = [];
    #settings;
    constructor(uri, options) {
      super();
      if (typeof uri === "object") [uri, options] = [void 0, uri];
      this.uri = uri ?? globalThis.location?.origin;
      this.opts = { path: "/socket.io", ...options };
      const { reconnection, randomizationFactor, timeout } = this.opts;
      this.#settings = {
        reconnection: reconnection !== false,
        reconnectionAttempts: this.opts.reconnectionAttempts || Infinity,
        reconnectionDelay: this.opts.reconnectionDelay || 1e3,
        reconnectionDelayMax: this.opts.reconnectionDelayMax || 5e3,
        randomizationFactor: number(randomizationFactor, 0.5),
        timeout: timeout ?? 2e4
      };
      this.#timers = timersFor(this.opts);
      const parser = this.opts.parser ?? parser_exports;
      this.encoder = new parser.Encoder();
      this.decoder = new parser.Decoder();
      this.autoConnect = this.opts.autoConnect !== false;
      if (this.autoConnect) this.open();
    }
    get readyState() {
      return this.#state;
    }
    get reconnecting() {
      return this.#reconnecting;
    }
    #setting(name, args) {
      if (args.length === 0) return this.#settings[name];
      this.#settings[name] = args[0];
      return this;
    }
    /** With an argument sets whether to reconnect, without one says. */
    reconnection(...args) {
      if (args.length && !args[0]) this.#skipReconnect = true;
      return this.#setting("reconnection", args.map(Boolean));
    }
    reconnectionAttempts(...args) {
      return this.#setting("reconnectionAttempts", args);
    }
    reconnectionDelay(...args) {
      return this.#setting("reconnectionDelay", args);
    }
    reconnectionDelayMax(...args) {
      return this.#setting("reconnectionDelayMax", args);
    }
    randomizationFactor(...args) {
      return this.#setting("randomizationFactor", args);
    }
    timeout(...args) {
      return this.#setting("timeout", args);
    }
    connect(callback) {
      return this.open(callback);
    }
    /** Opens the connection. `callback(error)` is told how it went, and then reconnection is its business. */
    open(callback) {
      if (this.#state !== "closed") return this;
      this.#end();
      this.#reconnecting = false;
      this.#connect(callback);
      return this;
    }
    #connect(callback) {
      this.#state = "opening";
      this.#skipReconnect = false;
      const failed = (error) => {
        this.#end();
        this.#state = "closed";
        this.emit("error", error);
        if (callback) callback(error);
        else if (this.#settings.reconnection) this.#reconnect();
      };
      let engine;
      try {
        engine = this.engine = new Engine(this.uri, this.opts);
      } catch (error) {
        queueMicrotask(() => this.#state === "opening" && failed(error));
        return;
      }
      this.#endings.push(
        subscribe(engine, "open", () => {
          this.#onOpen();
          callback?.();
        }),
        subscribe(engine, "error", failed)
      );
      const limit = this.#settings.timeout;
      if (limit !== false) {
        const timer = this.#timers.set(() => {
          failed(new Error("timeout"));
          engine.close();
        }, limit);
        this.#endings.push(() => this.#timers.clear(timer));
      }
    }
    #end() {
      this.#endings.splice(0).forEach((end) => end());
      this.decoder.destroy?.();
    }
    #onOpen() {
      this.#end();
      this.#state = "open";
      const { engine, decoder } = this;
      this.#endings.push(
        subscribe(engine, "ping", () => this.emit("ping")),
        subscribe(engine, "data", (data) => this.#onData(data)),
        subscribe(engine, "error", (error) => this.emit("error", error)),
        subscribe(engine, "close", (reason, details) => this.#onClose(reason, details)),
        subscribe(decoder, "decoded", (packet) => this.emit("packet", packet))
      );
      this.emit("open");
    }
    #onData(data) {
      try {
        const raw = this.opts.parser && inNode && data instanceof ArrayBuffer;
        this.decoder.add(raw ? globalThis.Buffer.from(data) : data);
      } catch (error) {
        this.#onClose("parse error", error);
      }
    }
    #onClose(reason, details) {
      const { engine } = this;
      this.#end();
      this.#attempts = 0;
      this.#state = "closed";
      engine?.close();
      this.emit("close", reason, details);
      if (this.#settings.reconnection && !this.#skipReconnect) this.#reconnect();
    }
    #reconnect() {
      if (this.#reconnecting || this.#skipReconnect || this.#state !== "closed") return;
      if (this.#attempts >= this.#settings.reconnectionAttempts) {
        this.#attempts = 0;
        this.emit("reconnect_failed");
        return;
      }
      this.#reconnecting = true;
      const timer = this.#timers.set(() => {
        if (this.#skipReconnect) return;
        this.emit("reconnect_attempt", this.#attempts);
        if (this.#skipReconnect || this.#state !== "closed") return;
        this.#connect((error) => {
          this.#reconnecting = false;
          if (error) {
            this.#reconnect();
            this.emit("reconnect_error", error);
          } else {
            const attempts = this.#attempts;
            this.#attempts = 0;
            this.emit("reconnect", attempts);
          }
        });
      }, backoff(this.#attempts++, this.#settings, Math.random()));
      this.#endings.push(() => this.#timers.clear(timer));
    }
    /** The socket of a namespace, made if there is none. */
    socket(nsp, options) {
      const existing = this.nsps[nsp];
      if (existing) {
        if (this.autoConnect && !existing.active) existing.connect();
        return existing;
      }
      const socket = this.nsps[nsp] = new Socket(this, nsp, options);
      if (this.autoConnect) socket.connect();
      return socket;
    }
    /** Sends a packet of a socket. */
    packet(packet, options) {
      for (const part of this.encoder.encode(packet)) this.engine.write(part, options);
    }
    /** Called by a socket that has left; with the last one goes the connection. */
    release() {
      if (!Object.values(this.nsps).some((socket) => socket.active)) this.close();
    }
    /** Closes the connection, and does not reconnect. */
    close() {
      this.#skipReconnect = true;
      this.#reconnecting = false;
      this.#onClose("forced close");
    }
    disconnect() {
      this.close();
    }
  };

  // client/index.js
  var managers = {};
  function resolve(uri) {
    if (/^(https?|wss?):\/\//.test(uri)) return new URL(uri);
    const page = globalThis.location;
    if (!page?.host) throw new Error(`"${uri}": outside a page the URL has to begin with http://, https://, ws:// or wss://`);
    if (uri.startsWith("//")) return new URL(page.protocol + uri);
    return new URL(uri.startsWith("/") || uri === "" ? page.origin + uri : `${page.protocol}//${uri}`);
  }
  function io(uri, options) {
    if (typeof uri === "object") [uri, options] = [void 0, uri];
    const opts = { ...options };
    const url = resolve(uri ?? "");
    const nsp = url.pathname;
    const key = `${url.protocol}//${url.host}${opts.path ?? "/socket.io"}`;
    const apart = opts.forceNew || opts["force new connection"] || opts.multiplex === false || nsp in (managers[key]?.nsps ?? {});
    if (apart) return new Manager(url.href, opts).socket(nsp, opts);
    managers[key] ??= new Manager(url.href, opts);
    return managers[key].socket(nsp, opts);
  }
  var index_default = io;

  // client/umd.js
  var umd_default = Object.assign(io, index_exports, { io });
  return __toCommonJS(umd_exports);
})();
return io.default});
//# sourceMappingURL=socket.io.js.map
