/*
 * The browser client's declarations as programs use them. tsc checks this; nothing here is run.
 *
 * After "@ts-expect-error" a mistake must follow: one that passes is an error of its own.
 */
import client, { connect, Decoder, Encoder, Engine, io, Manager, managers, PacketType, protocol, Socket } from "../../src/fastsio/static/socket.io";
import type { Auth, Binary, ConnectError, DisconnectDetails, DisconnectReason, IoOptions, Packet } from "../../src/fastsio/static/socket.io";

interface FromServer {
  welcome: (name: string, data: ArrayBuffer) => void;
  question: (what: string, answer: (value: number) => void) => void;
}
interface ToServer {
  move: (x: number, y: number) => void;
  sum: (a: number, b: number, ack: (total: number) => void) => void;
}

const options: IoOptions = {
  path: "/socket.io",
  transports: ["polling", "websocket"],
  transportOptions: { polling: { extraHeaders: { "X-Route": "a" }, requestTimeout: 60000 } },
  auth: (give) => give({ token: "x" }),
  query: { room: 7, admin: true },
  reconnectionDelay: 500,
  randomizationFactor: 0,
  timeout: false,
  retries: 3,
  ackTimeout: 5000,
  forceNew: true,
  closeOnBeforeunload: true,
};
// @ts-expect-error
const misspelt: IoOptions = { reconectionDelay: 500 };
// @ts-expect-error
const noTransport: IoOptions = { transports: ["carrier pigeon"] };

const socket: Socket<FromServer, ToServer> = io("http://localhost:3000/chat", options);
const id: string | undefined = socket.id;
const facts: boolean[] = [socket.connected, socket.disconnected, socket.active, socket.recovered];
// @ts-expect-error
socket.connected = true;
const auth: Auth = { token: "y" };
socket.auth = auth;

socket
  .on("connect", () => {})
  .on("connect_error", (error: ConnectError) => console.log(error.message, error.data, error.description))
  .on("disconnect", (reason: DisconnectReason, details?: DisconnectDetails | Error) => console.log(reason, details))
  .on("welcome", (name, data) => console.log(name.length, data.byteLength))
  .once("question", (what, answer) => answer(what.length))
  .off("welcome")
  .off();
// @ts-expect-error
socket.on("disconnect", (reason: number) => {});
// @ts-expect-error
socket.on("welcome", (name: number) => {});
// @ts-expect-error
socket.on("unheard of", () => {});

socket.emit("move", 1, 2);
socket.emit("sum", 1, 2, (total) => total.toFixed());
// @ts-expect-error
socket.emit("move", "one", 2);
// @ts-expect-error
socket.emit("moved");
socket.volatile.compress(false).emit("move", 1, 2);
socket.timeout(500).emit("anything", (error: Error | null, answer: string) => {});
const answer: Promise<number> = socket.timeout(500).emitWithAck("sum", 1, 2);
socket.send("text", new Uint8Array(2)).onAny((event, ...args) => console.log(event, args));
const reason: boolean = socket.disconnect().connect().close().open().hasListeners("welcome");

// Without types of the events anything goes.
io().on("event", (value: { a: number }) => value.a).emit("event", new Blob(["x"]), new File(["y"], "z"), [null]);
io({ path: "/other" }).io.on("reconnect_attempt", (attempt: number) => {}).on("ping", () => {});
client("/chat").connect();
connect("/chat");

const manager = new Manager("http://localhost:3000", { reconnectionAttempts: 3 });
manager.reconnectionDelay(100).reconnectionDelayMax(1000).randomizationFactor(0).timeout(2000).reconnection(false);
const delay: number = manager.reconnectionDelay();
const limit: number | false = manager.timeout();
manager.open((error) => error?.description).socket("/", { auth: { a: 1 } });
// @ts-expect-error
manager.on("connect", () => {});
const engine: Engine = manager.engine;
const state: "opening" | "open" | "closing" | "closed" = engine.readyState;
const all: Manager[] = Object.values(managers);

const packet: Packet = { type: PacketType.EVENT, nsp: "/", data: ["x"] };
const parts: (string | Binary)[] = new Encoder().encode(packet);
new Decoder({ maxAttachments: 3 }).add("2[]");
const five: 5 = protocol;

export { all, answer, delay, facts, five, id, limit, misspelt, noTransport, parts, reason, state };
