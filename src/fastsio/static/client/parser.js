/* Socket.IO 5: packets as {type, nsp, data, id}, in text with attachments beside it. */
import { Emitter } from "./emitter.js";
import { isBinary } from "./binary.js";

export const protocol = 5;

export const PacketType = {
  CONNECT: 0,
  DISCONNECT: 1,
  EVENT: 2,
  ACK: 3,
  CONNECT_ERROR: 4,
  BINARY_EVENT: 5,
  BINARY_ACK: 6,
};
const { CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK } = PacketType;
// From a type to its binary twin.
const BINARY = BINARY_EVENT - EVENT;

/** Names that are the client's own: an event of such a name is never sent nor accepted. */
export const RESERVED = new Set([
  "connect",
  "connect_error",
  "disconnect",
  "disconnecting",
  "newListener",
  "removeListener",
]);

export class Encoder {
  /** The text, and after it the attachments as they were given. */
  encode({ type, nsp, data, id }) {
    const attachments = [];
    let json = "";
    if (data !== undefined) {
      const hold =
        (type === EVENT || type === ACK) &&
        function (key, value) {
          // Not `value`: Buffers come with a toJSON, which has been called by now.
          if (!isBinary(this[key])) return value;
          return { _placeholder: true, num: attachments.push(this[key]) - 1 };
        };
      json = JSON.stringify(data, hold || undefined);
    }
    const head = attachments.length ? `${type + BINARY}${attachments.length}-` : type;
    return [`${head}${nsp && nsp !== "/" ? nsp + "," : ""}${id ?? ""}${json}`, ...attachments];
  }
}

const isObject = (value) => Object.prototype.toString.call(value) === "[object Object]";

function isValid(type, data) {
  switch (type) {
    case CONNECT:
      return data === undefined || isObject(data);
    case DISCONNECT:
      return data === undefined;
    case CONNECT_ERROR:
      return typeof data === "string" || isObject(data);
    case EVENT:
      return Array.isArray(data) && (typeof data[0] === "number" || (typeof data[0] === "string" && !RESERVED.has(data[0])));
    default:
      return Array.isArray(data);
  }
}

function decodeText(text, maxAttachments) {
  const [, digit, count, nsp = "/", id, json] =
    /^([0-6])(?:(?<=[56])(\d+)-)?(?:(\/[^,]*),?)?(\d*)([^]*)$/.exec(text) ?? [];
  if (digit === undefined) throw new Error("unknown packet type " + text[0]);
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

/** Puts the attachments where their placeholders are, in place. */
function restore(value, attachments) {
  if (value === null || typeof value !== "object") return value;
  if (value._placeholder === true) {
    if (!Number.isInteger(value.num) || !(value.num in attachments)) throw new Error("illegal attachments");
    return attachments[value.num];
  }
  for (const key of Object.keys(value)) value[key] = restore(value[key], attachments);
  return value;
}

/** Emits "decoded" with each packet. */
export class Decoder extends Emitter {
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
}
