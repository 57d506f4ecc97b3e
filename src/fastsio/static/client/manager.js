import { backoff } from "./backoff.js";
import { Engine, timersFor } from "./engine.js";
import { Emitter, subscribe } from "./emitter.js";
import * as defaultParser from "./parser.js";
import { Socket } from "./socket.js";
import { inNode } from "./transports.js";

/** The option's number, or the default for what is none. */
const number = (value, fallback) => (typeof value === "number" ? value : fallback);

/**
 * One connection to a server, and its reconnection; the sockets of its namespaces share it.
 *
 * Emits "open", "close" with reason and details, "error", "ping", "packet", "reconnect_attempt", "reconnect",
 * "reconnect_error" and "reconnect_failed".
 */
export class Manager extends Emitter {
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
    if (typeof uri === "object") [uri, options] = [undefined, uri];
    this.uri = uri ?? globalThis.location?.origin;
    this.opts = { path: "/socket.io", ...options };
    const { reconnection, randomizationFactor, timeout } = this.opts;
    this.#settings = {
      reconnection: reconnection !== false,
      reconnectionAttempts: this.opts.reconnectionAttempts || Infinity,
      reconnectionDelay: this.opts.reconnectionDelay || 1000,
      reconnectionDelayMax: this.opts.reconnectionDelayMax || 5000,
      randomizationFactor: number(randomizationFactor, 0.5),
      timeout: timeout ?? 20000,
    };
    this.#timers = timersFor(this.opts);
    const parser = this.opts.parser ?? defaultParser;
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
    // Whoever asks does not wait for the next attempt.
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
      // An address or option that nothing can be done with; listeners come first.
      queueMicrotask(() => this.#state === "opening" && failed(error));
      return;
    }
    this.#endings.push(
      subscribe(engine, "open", () => {
        this.#onOpen();
        callback?.();
      }),
      subscribe(engine, "error", failed),
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
    // Subscribed before anybody is told, for a listener may close it all again.
    this.#endings.push(
      subscribe(engine, "ping", () => this.emit("ping")),
      subscribe(engine, "data", (data) => this.#onData(data)),
      subscribe(engine, "error", (error) => this.emit("error", error)),
      subscribe(engine, "close", (reason, details) => this.#onClose(reason, details)),
      subscribe(decoder, "decoded", (packet) => this.emit("packet", packet)),
    );
    this.emit("open");
  }

  #onData(data) {
    try {
      // A parser of the application's is its platform's: what is in npm for Node reads Buffers.
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
    // A listener may have opened it again.
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
      // A listener may have thought better of it, or been faster.
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
    const socket = (this.nsps[nsp] = new Socket(this, nsp, options));
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
}
