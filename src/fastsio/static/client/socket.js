import { Emitter, guarded, subscribe } from "./emitter.js";
import { PacketType, RESERVED } from "./parser.js";

/** Whether an acknowledgement callback takes an error first. */
const takesError = Symbol("takes an error");

/** Listeners of all events, in one direction. */
class CatchAll {
  list = [];

  remove(listener) {
    if (!listener) this.list = [];
    else this.list = this.list.filter((one) => one !== listener);
  }

  call(self, args) {
    for (const listener of [...this.list]) guarded(listener, self, args);
  }
}

/**
 * One namespace of a connection.
 *
 * Emits "connect", "connect_error" with an error, "disconnect" with reason and details, and what the server emits.
 */
export class Socket extends Emitter {
  connected = false;
  /** Whether the last connection took up the one before, with nothing missed. */
  recovered = false;
  receiveBuffer = [];
  sendBuffer = [];
  #subscriptions = null;
  #acks = new Map();
  #ids = 0;
  #flags = {};
  #incoming = new CatchAll();
  #outgoing = new CatchAll();
  /** Of the option `retries`: what waits for its acknowledgement, the head under way. */
  #queue = [];
  // The private id and the last offset seen: what the server recovers the connection by.
  #pid;
  #offset;

  constructor(io, nsp, options = {}) {
    super();
    this.io = io;
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
        subscribe(this.io, "close", (reason, details) => this.#onClose(reason, details)),
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
    const callback = typeof args.at(-1) === "function" ? args.pop() : undefined;
    if (this.opts.retries && !flags.volatile) this.#enqueue([event, ...args], callback, flags);
    else this.#dispatch([event, ...args], callback, flags);
    return this;
  }

  /** A promise of the first argument of the answer; rejected on timeout and on disconnection. */
  emitWithAck(event, ...args) {
    return new Promise((resolve, reject) => {
      const callback = (error, answer) => (error ? reject(error) : resolve(answer));
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
    if (timeout === undefined) {
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
      // An answer to an earlier try may come when a later one has been answered.
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
      // It cannot be encoded, now or later.
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
      // Once, and not on behalf of a connection that is gone: the server takes a second one amiss.
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
    // What came ahead of the server's answer will come again.
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
            new Error("the server speaks the protocol of Socket.IO v2, which this client does not"),
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
    // One that cannot be encoded keeps none of the others back.
    this.sendBuffer.splice(0).forEach(({ packet, options }) => guarded(this.#sendEvent, this, [packet, options]));
    guarded(this.#advance, this, []);
    this.emitReserved("connect");
  }

  #onEvent({ data = [], id }) {
    const args = [...data];
    if (id !== undefined) args.push(this.#answer(id));
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
}
