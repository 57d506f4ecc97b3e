/* The names of the client. `io(url, options)` gives the socket of the URL's namespace. */
import { Manager } from "./manager.js";

export { Engine, engineProtocol } from "./engine.js";
export { Emitter } from "./emitter.js";
export { Manager } from "./manager.js";
export { Socket } from "./socket.js";
export { Decoder, Encoder, PacketType, protocol } from "./parser.js";
export { decodePacket, decodePayload, encodePacket, encodePayload } from "./engine-codec.js";
export { Polling as Fetch, WebSocketTransport as WebSocket } from "./transports.js";

/** Managers by server and path, for sockets to share. */
const managers = {};

/** The full URL of what may be given short: a namespace, a host, nothing. */
function resolve(uri) {
  if (/^(https?|wss?):\/\//.test(uri)) return new URL(uri);
  const page = globalThis.location;
  if (!page?.host) throw new Error(`"${uri}": outside a page the URL has to begin with http://, https://, ws:// or wss://`);
  if (uri.startsWith("//")) return new URL(page.protocol + uri);
  return new URL(uri.startsWith("/") || uri === "" ? page.origin + uri : `${page.protocol}//${uri}`);
}

export function io(uri, options) {
  if (typeof uri === "object") [uri, options] = [undefined, uri];
  const opts = { ...options };
  const url = resolve(uri ?? "");
  const nsp = url.pathname;
  const key = `${url.protocol}//${url.host}${opts.path ?? "/socket.io"}`;
  const apart =
    opts.forceNew || opts["force new connection"] || opts.multiplex === false || nsp in (managers[key]?.nsps ?? {});
  if (apart) return new Manager(url.href, opts).socket(nsp, opts);
  managers[key] ??= new Manager(url.href, opts);
  return managers[key].socket(nsp, opts);
}

export { io as connect, managers };
export default io;
