import { CookieJar } from "./cookies.js";
import { sizeOf } from "./engine-codec.js";
import { Emitter } from "./emitter.js";
import { inNode, Polling, WebSocketTransport } from "./transports.js";

export const engineProtocol = 4;

/** Taken early, for pages whose tests replace the timers later (option `useNativeTimers`). */
const native = { setTimeout, clearTimeout };

/** Timers as the options want them: the page's or the platform's own, and holding a Node process or not. */
export function timersFor({ useNativeTimers, autoUnref }) {
  const source = () => (useNativeTimers ? native : globalThis);
  return {
    set(callback, delay) {
      const timer = source().setTimeout.call(globalThis, callback, delay);
      if (autoUnref) timer.unref?.();
      return timer;
    },
    clear: (timer) => source().clearTimeout.call(globalThis, timer),
  };
}

const TRANSPORTS = { polling: Polling, websocket: WebSocketTransport };

const DEFAULTS = {
  path: "/engine.io",
  addTrailingSlash: true,
  transports: ["polling", "websocket"],
  upgrade: true,
  timestampParam: "t",
};

/** The classes by name, in the order in which they are tried; without those that this platform lacks. */
function chooseTransports(options) {
  const chosen = new Map();
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

/** The address and the query, of which the one in the URL counts. */
function locate(uri, options) {
  const url = new URL(uri);
  const secure = /^(https|wss):$/.test(url.protocol);
  const query = Object.fromEntries(new URLSearchParams(url.search || options.query || ""));
  return { secure, hostname: url.hostname, port: url.port, query };
}

/**
 * One Engine.IO session.
 *
 * `readyState` is "opening", "open", "closing" or "closed". Emits "open", "message" and "data", "close" with a reason
 * and details, "error", and as it goes "handshake", "packet", "packetCreate", "flush", "drain", "ping", "pong",
 * "heartbeat", "upgrading", "upgrade" and "upgradeError".
 */
export class Engine extends Emitter {
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
    const remembered = this.opts.rememberUpgrade && Engine.priorWebsocketSuccess && names.includes("websocket");
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
    transport
      .on("drain", () => this.#onDrain())
      .on("packet", (packet) => this.#onPacket(packet))
      .on("error", (error) => this.#onError(error))
      .on("close", (details) => this.#onClose("transport close", details));
  }

  /** What the page goes through, and the connection with it. */
  #watchPage() {
    if (typeof addEventListener !== "function") return;
    const watch = (event, listener) => {
      addEventListener(event, listener);
      this.#unsubscribe.push(() => removeEventListener(event, listener));
    };
    // A page that cannot be come back to just ends; a kept one finds itself disconnected, and reconnects.
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
      // Left undefined, as no handshake either.
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
    Engine.priorWebsocketSuccess = this.transport.name === "websocket";
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
    transport
      .on("open", () => transport.send([{ type: "ping", data: "probe" }]))
      .once("packet", ({ type, data }) => {
        if (type !== "pong" || data !== "probe") return fail("no answer to the probe");
        // Another transport was faster.
        if (this.upgrading) return give();
        this.upgrading = true;
        this.emit("upgrading", transport);
        this.#probes.filter((other) => other !== give).forEach((other) => other());
        Engine.priorWebsocketSuccess = name === "websocket";
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
      })
      .on("error", fail)
      .on("close", fail);
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
    return this.writeBuffer.slice(0, end < 0 ? undefined : end);
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
    Engine.priorWebsocketSuccess = false;
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
    // Whoever waits for "open" hears why it does not come.
    if (details instanceof Error) this.emit("error", details);
    else if (state === "opening" && reason !== "forced close") {
      this.emit("error", Object.assign(new Error(reason), details));
    }
    this.emit("close", reason, details);
    this.writeBuffer = [];
    this.#sent = 0;
  }
}

