const hasBlob = typeof Blob === "function";

export const isBlob = (value) => hasBlob && value instanceof Blob;

/** Whether a value travels as an attachment: ArrayBuffer, typed array, DataView, Buffer, Blob, File. */
export const isBinary = (value) =>
  value instanceof ArrayBuffer || ArrayBuffer.isView(value) || isBlob(value);

/** The bytes of an ArrayBuffer or of a view of one, without a copy. */
export const bytesOf = (data) =>
  data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

// More arguments than this do not fit on every stack.
const CHUNK = 0x8000;

export function toBase64(data) {
  const bytes = bytesOf(data);
  let text = "";
  for (let at = 0; at < bytes.length; at += CHUNK) {
    text += String.fromCharCode.apply(null, bytes.subarray(at, at + CHUNK));
  }
  return btoa(text);
}

/** @throws if the text is no base64 */
export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
}
