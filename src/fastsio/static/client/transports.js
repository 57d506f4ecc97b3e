import { isBlob } from "./binary.js";
import { Emitter } from "./emitter.js";
import { decodePacket, decodePayload, encodePacket, encodePayload } from "./engine-codec.js";

/** How long, in milliseconds, the last request may keep a program from ending. */
const GOODBYE_TIMEOUT = 5000;

/** Packets with their Blobs read, or at once the packets themselves if there are none. */
function withoutBlobs(packets) {
  if (!packets.some((packet) => isBlob(packet.data))) return packets;
  return Promise.all(
    packets.map(async (packet) => (isBlob(packet.data) ? { ...packet, data: await packet.data.arrayBuffer() } : packet)),
  );
}

/**
 * One way to move packets.
 *
 * `readyState` goes from "closed" over "opening" to "open" and, while an upgrade ends this transport, "pausing" and
 * "paused". Emits "open", "packet", "drain" once what was given to `send` is on its way, "error" and "close".
 */
export class Transport extends Emitter {
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
      // Not awaited without need: what a WebSocket takes leaves at once.
      await this._send(ready === packets ? packets : await ready);
    } catch (error) {
      // A Blob that cannot be read any more.
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
}

/** HTTP long-polling: a GET that waits for packets, and a POST for each batch sent. */
export class Polling extends Transport {
  #requests = new Set();
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
      // An upgrade may end while the last poll is answered, and a listener may close anything.
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
        headers: { ...(body && { "Content-Type": "text/plain;charset=UTF-8" }), ...cookieJar?.headers, ...extraHeaders },
        credentials: withCredentials ? "include" : "same-origin",
        cache: "no-store",
        keepalive: last,
        signal: aborter.signal,
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
}

export const inNode = typeof window === "undefined" && Boolean(globalThis.process?.versions?.node);

/** One WebSocket; a frame for each packet. */
export class WebSocketTransport extends Transport {
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
      // Browsers have no headers to set. Node's own class takes them with the protocols, the package ws after them.
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
    // After the caller has noted what it sent.
    queueMicrotask(() => this.readyState !== "closed" && this._onDrain());
  }

  _close() {
    if (!this.ws) return;
    this.ws.onopen = this.ws.onmessage = this.ws.onclose = null;
    // Closing before it is open counts as an error, which the package ws insists on being heard.
    this.ws.onerror = () => {};
    this.ws.close();
  }
}
