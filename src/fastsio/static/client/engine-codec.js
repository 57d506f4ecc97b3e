/* Engine.IO 4: packets as {type, data} with the types by name, and the payloads of long-polling. */
import { bytesOf, fromBase64, isBinary, toBase64 } from "./binary.js";

const TYPES = ["open", "close", "ping", "pong", "message", "upgrade", "noop"];
const SEPARATOR = "\x1e";
const PARSER_ERROR = { type: "error", data: "parser error" };

/** One packet without Blobs: a string, or the bytes of a binary message, which `binary` allows. */
export function encodePacket({ type, data }, binary = true) {
  if (isBinary(data)) return binary ? bytesOf(data) : "b" + toBase64(data);
  return TYPES.indexOf(type) + (data ?? "");
}

/** The packet; one of type "error" if there is none to be made of the data. */
export function decodePacket(data) {
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

export function encodePayload(packets) {
  return packets.map((packet) => encodePacket(packet, false)).join(SEPARATOR);
}

/** All packets up to the first that cannot be decoded. */
export function decodePayload(text) {
  const packets = [];
  for (const part of text.split(SEPARATOR)) {
    const packet = decodePacket(part);
    packets.push(packet);
    if (packet.type === "error") break;
  }
  return packets;
}

/** How much of the server's `maxPayload` the data of a packet takes. */
export function sizeOf(data) {
  if (data === undefined) return 0;
  if (typeof data === "string") return new TextEncoder().encode(data).length;
  return Math.ceil((data.byteLength ?? data.size) * 1.33);
}
