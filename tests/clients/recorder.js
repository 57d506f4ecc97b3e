"use strict";
/*
 * A JavaScript client that tells what it sees, and emits what it is told.
 *
 *     node recorder.js <sio-client-2|sio-client-3|sio-client-4> <url> '<options as JSON>'
 *
 * The option "parser" is the name of an npm package. Prints one JSON object a line: {"connect": id, "recovered": …},
 * {"disconnect": reason}, {"refused": message, "data": …}, {"upgrade": transport}, {"event": name, "args": […]} and
 * {"ack": number, "args": […]}. Bytes are {"$bytes": "hexadecimal"}, dates {"$date": milliseconds}. Reads lines of
 * JSON: [event, ...args] is emitted; with {"$ack": number} as the last argument an acknowledgement is asked for. An
 * event "question" is acknowledged with its arguments. Ends with its standard input.
 */
const readline = require("readline");

const [library, url, optionsText] = process.argv.slice(2);
const options = JSON.parse(optionsText);
if (options.parser) options.parser = require(options.parser);

function describe(value) {
  if (value instanceof ArrayBuffer) return { $bytes: Buffer.from(value).toString("hex") };
  if (ArrayBuffer.isView(value)) return { $bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex") };
  if (value instanceof Date) return { $date: value.getTime() };
  if (Array.isArray(value)) return value.map(describe);
  if (typeof value === "function") return { $ack: true };
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, describe(item)]));
  }
  return value === undefined ? { $undefined: true } : value;
}

function revive(value) {
  if (Array.isArray(value)) return value.map(revive);
  if (value && typeof value === "object") {
    if ("$bytes" in value) return Buffer.from(value.$bytes, "hex");
    if ("$buffer" in value) return new Uint8Array(Buffer.from(value.$buffer, "hex")).buffer;
    if ("$date" in value) return new Date(value.$date);
    if ("$undefined" in value) return undefined;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, revive(item)]));
  }
  return value;
}

function say(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

const socket = require(library)(url, options);
socket.on("connect", () => {
  say({ connect: socket.id, recovered: Boolean(socket.recovered) });
  const { engine } = socket.io;
  if (engine.transport.name === "websocket") say({ upgrade: "websocket" });
  else engine.once("upgrade", () => say({ upgrade: "websocket" }));
});
socket.on("disconnect", (reason) => say({ disconnect: reason }));
socket.on("connect_error", (error) => say({ refused: error.message, data: describe(error.data) }));
if (socket.onAny) socket.onAny((event, ...args) => say({ event, args: describe(args) }));
socket.on("question", (...args) => args.pop()(...args));

readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const event = JSON.parse(line);
    const last = event.at(-1);
    const ask = last && typeof last === "object" && "$ack" in last;
    const args = revive(ask ? event.slice(0, -1) : event);
    if (ask) socket.emit(...args, (...answer) => say({ ack: last.$ack, args: describe(answer) }));
    else socket.emit(...args);
  })
  .on("close", () => process.exit(0));
