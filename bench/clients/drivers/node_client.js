"use strict";
/* A JavaScript client, the official one or fastsio's, as the benchmark drives it: node node_client.js MODULE --url … */
const { parseArgs } = require("node:util");

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(
    ["url", "scenario", "transport", "clients", "depth", "size", "warmup", "seconds"]
      .map((name) => [name, { type: "string" }])
      .concat([["binary", { type: "boolean" }]]),
  ),
});
const [module_, webSocket] = positionals;
const { io } = require(module_);
const number = (name, fallback) => Number(values[name] ?? fallback);
const size = number("size", 32);
const filler = "x".repeat(size);
const count = { messages: 0, errors: 0, first: "" };

function payload(index) {
  const text = `${index} ${filler}`.slice(0, size);
  return values.binary ? Buffer.from(text) : text;
}

function check(index, received) {
  count.messages += 1;
  const expected = payload(index);
  const right = values.binary ? Buffer.from(received).equals(expected) : received === expected;
  if (right) return;
  count.errors += 1;
  count.first ||= `message ${index} came back wrong`;
}

function work(socket) {
  const depth = number("depth", 1);
  let sent = 0;
  let received = 0;
  const send = () => {
    const index = sent++;
    if (values.scenario === "echo") socket.emit("echo", payload(index));
    else socket.emit("ack", payload(index), cameBack);
  };
  const cameBack = (data) => {
    check(received++, data);
    send();
  };
  if (values.scenario === "echo") socket.on("echo", cameBack);
  for (let index = 0; index < depth; index++) send();
}

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const cpu = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

(async () => {
  const clients = number("clients", 1);
  const before = process.memoryUsage().rss;
  for (let index = 0; index < clients; index++) {
    const socket = io(values.url, {
      forceNew: true,
      transports: [values.transport ?? "websocket"],
      WebSocket: webSocket && require(webSocket),
    });
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("connect_error", reject));
    socket.on("disconnect", (reason) => {
      count.errors += 1;
      count.first ||= reason;
    });
    if (values.scenario !== "idle") work(socket);
  }
  await sleep(number("warmup", 1));
  const [messages, used, clock] = [count.messages, cpu(), performance.now()];
  await sleep(number("seconds", 3));
  const [cpuSeconds, seconds] = [cpu() - used, (performance.now() - clock) / 1000];
  console.log(
    JSON.stringify({
      messages: count.messages - messages,
      cpu_seconds: cpuSeconds,
      seconds,
      cpu_share: cpuSeconds / seconds,
      rss_per_client: (process.memoryUsage().rss - before) / clients,
      errors: count.errors,
      first_error: count.first,
    }),
  );
  process.exit(0);
})();
