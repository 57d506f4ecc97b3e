"use strict";
/* Preloaded (node --require), it gives driver.js this project's browser client for the official one of 4.x. */
const Module = require("module");
const path = require("path");

const load = Module._load;
const own = path.join(__dirname, "../../src/fastsio/static/socket.io.js");
Module._load = (request, ...others) => load(request === "sio-client-4" ? own : request, ...others);

if (!globalThis.WebSocket) {
  // Node 20 has none of its own; that of the package ws has the same interface.
  globalThis.WebSocket = require("ws");
}
