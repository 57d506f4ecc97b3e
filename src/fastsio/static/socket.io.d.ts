/** Types of fastsio's Socket.IO client: `import { io } from "…/socket.io.esm.min.js"`, or the global `io`. */

export type EventNames = Record<string, (...args: any[]) => void>;
/** What may be emitted as an attachment; what arrives as one is an ArrayBuffer. */
export type Binary = ArrayBuffer | ArrayBufferView | Blob;
export type DisconnectReason =
  | "io server disconnect"
  | "io client disconnect"
  | "ping timeout"
  | "transport close"
  | "transport error"
  | "parse error"
  | "forced close";
export interface DisconnectDetails {
  description?: unknown;
  context?: unknown;
}
/** What failed on the way to the server; `description` is the status or the cause. */
export interface TransportError extends Error {
  type?: "TransportError";
  description?: unknown;
  context?: unknown;
}
/** A refusal by the server has `data`, if its middleware gave any. */
export interface ConnectError extends TransportError {
  data?: any;
}
export type TransportName = "polling" | "websocket" | "webtransport";

export interface EngineOptions {
  /** Default "/socket.io". */
  path?: string;
  /** Default true. */
  addTrailingSlash?: boolean;
  /** For the engine's URL; the query of the URL itself goes before it. */
  query?: Record<string, string | number | boolean> | string;
  /** Default ["polling", "websocket"]; "webtransport" is passed over. */
  transports?: (TransportName | (new (options: any) => Transport))[];
  /** Default true. */
  upgrade?: boolean;
  /** Begin with WebSocket if the last connection reached it. */
  rememberUpgrade?: boolean;
  /** On failure, go on to the next of `transports`. */
  tryAllTransports?: boolean;
  forceBase64?: boolean;
  /** Unset: on polling only; true: on both; false: never. */
  timestampRequests?: boolean;
  timestampParam?: string;
  /** Of one polling request, in milliseconds; 0, the default, is none. */
  requestTimeout?: number;
  /** Cookies and credentials to other origins; in Node, cookies that the server sets go back to it. */
  withCredentials?: boolean;
  /** On polling; on WebSocket in Node only. */
  extraHeaders?: Record<string, string>;
  transportOptions?: Partial<Record<TransportName, Partial<EngineOptions>>>;
  /** WebSocket subprotocols. */
  protocols?: string | string[];
  /** A class like the browser's, where the platform has none: that of the package ws in Node 20. */
  WebSocket?: new (url: string, protocols: string | string[], options: { headers?: Record<string, string> }) => any;
  closeOnBeforeunload?: boolean;
  /** Node: let the process end while connected. */
  autoUnref?: boolean;
  /** The platform's timers even if the page replaces them. */
  useNativeTimers?: boolean;
}

export interface Parser {
  Encoder: new () => { encode(packet: Packet): (string | Binary)[] };
  Decoder: new () => { add(chunk: any): void; on(event: "decoded", listener: (packet: Packet) => void): any; destroy?(): void };
}

export interface ManagerOptions extends EngineOptions {
  autoConnect?: boolean;
  reconnection?: boolean;
  /** Default and 0: without end. */
  reconnectionAttempts?: number;
  /** Default 1000 ms. */
  reconnectionDelay?: number;
  /** Default 5000 ms. */
  reconnectionDelayMax?: number;
  /** Default 0.5. */
  randomizationFactor?: number;
  /** Of one attempt; default 20000 ms. */
  timeout?: number | false;
  parser?: Parser;
}

export type Auth = Record<string, unknown> | ((give: (auth: Record<string, unknown>) => void) => void);

export interface SocketOptions {
  auth?: Auth;
  /** Tries beyond the first until an event is acknowledged. */
  retries?: number;
  /** Default timeout of acknowledgements, in milliseconds. */
  ackTimeout?: number;
}

export interface IoOptions extends ManagerOptions, SocketOptions {
  /** A connection of its own. */
  forceNew?: boolean;
  multiplex?: boolean;
}

export declare class Emitter<Events extends EventNames = EventNames> {
  on<Name extends keyof Events>(event: Name, listener: Events[Name]): this;
  once<Name extends keyof Events>(event: Name, listener: Events[Name]): this;
  off<Name extends keyof Events>(event?: Name, listener?: Events[Name]): this;
  addListener<Name extends keyof Events>(event: Name, listener: Events[Name]): this;
  addEventListener<Name extends keyof Events>(event: Name, listener: Events[Name]): this;
  removeListener<Name extends keyof Events>(event?: Name, listener?: Events[Name]): this;
  removeEventListener<Name extends keyof Events>(event?: Name, listener?: Events[Name]): this;
  removeAllListeners<Name extends keyof Events>(event?: Name): this;
  listeners<Name extends keyof Events>(event: Name): Events[Name][];
  hasListeners(event: keyof Events): boolean;
}

export interface SocketEvents {
  connect: () => void;
  connect_error: (error: ConnectError) => void;
  disconnect: (reason: DisconnectReason, details?: DisconnectDetails | Error) => void;
}

type AnyListener = (event: string, ...args: any[]) => void;

/** `Incoming` are the events that the server emits, `Outgoing` those that it takes. */
export declare class Socket<
  Incoming extends { [Name in keyof Incoming]: (...args: any[]) => void } = EventNames,
  Outgoing extends { [Name in keyof Outgoing]: (...args: any[]) => void } = EventNames,
> extends Emitter<Omit<Incoming, keyof SocketEvents> & SocketEvents> {
  readonly io: Manager;
  readonly nsp: string;
  readonly id: string | undefined;
  readonly connected: boolean;
  readonly disconnected: boolean;
  readonly active: boolean;
  readonly recovered: boolean;
  auth: Auth | undefined;
  connect(): this;
  open(): this;
  disconnect(): this;
  close(): this;
  emit<Name extends keyof Outgoing>(event: Name, ...args: Parameters<Outgoing[Name]>): this;
  emitWithAck<Name extends keyof Outgoing>(event: Name, ...args: any[]): Promise<any>;
  send(...args: any[]): this;
  readonly volatile: this;
  timeout(milliseconds: number): Socket<Incoming, EventNames>;
  compress(value: boolean): this;
  onAny(listener: AnyListener): this;
  prependAny(listener: AnyListener): this;
  offAny(listener?: AnyListener): this;
  listenersAny(): AnyListener[];
  onAnyOutgoing(listener: AnyListener): this;
  prependAnyOutgoing(listener: AnyListener): this;
  offAnyOutgoing(listener?: AnyListener): this;
  listenersAnyOutgoing(): AnyListener[];
}

export type ManagerEvents = {
  open: () => void;
  close: (reason: DisconnectReason, details?: DisconnectDetails | Error) => void;
  error: (error: TransportError) => void;
  ping: () => void;
  packet: (packet: Packet) => void;
  reconnect_attempt: (attempt: number) => void;
  reconnect: (attempts: number) => void;
  reconnect_error: (error: TransportError) => void;
  reconnect_failed: () => void;
};

export declare class Manager extends Emitter<ManagerEvents> {
  constructor(uri?: string, options?: ManagerOptions);
  constructor(options: ManagerOptions);
  readonly uri: string;
  readonly opts: ManagerOptions;
  readonly engine: Engine;
  readonly nsps: Record<string, Socket>;
  open(callback?: (error?: TransportError) => void): this;
  connect(callback?: (error?: TransportError) => void): this;
  close(): void;
  disconnect(): void;
  socket(nsp: string, options?: SocketOptions): Socket;
  reconnection(): boolean;
  reconnection(value: boolean): this;
  reconnectionAttempts(): number;
  reconnectionAttempts(value: number): this;
  reconnectionDelay(): number;
  reconnectionDelay(value: number): this;
  reconnectionDelayMax(): number;
  reconnectionDelayMax(value: number): this;
  randomizationFactor(): number;
  randomizationFactor(value: number): this;
  timeout(): number | false;
  timeout(value: number | false): this;
}

export declare class Transport extends Emitter {
  constructor(options: any);
  readonly name: string;
  readonly writable: boolean;
}
export declare class Fetch extends Transport {}
declare class WebSocketTransport extends Transport {}
export { WebSocketTransport as WebSocket };

/** One Engine.IO session; `socket.io.engine` is that of a socket. */
export declare class Engine extends Emitter {
  constructor(uri: string, options?: EngineOptions);
  readonly id: string | null;
  readonly readyState: "opening" | "open" | "closing" | "closed";
  readonly transport: Transport;
  send(data: string | Binary, options?: object, sent?: () => void): this;
  write(data: string | Binary, options?: object, sent?: () => void): this;
  close(): this;
}

export interface Packet {
  type: number;
  nsp: string;
  data?: any;
  id?: number;
}
export declare const PacketType: Readonly<
  Record<"CONNECT" | "DISCONNECT" | "EVENT" | "ACK" | "CONNECT_ERROR" | "BINARY_EVENT" | "BINARY_ACK", number>
>;
export declare class Encoder {
  encode(packet: Packet): (string | Binary)[];
}
export declare class Decoder extends Emitter {
  constructor(options?: { maxAttachments?: number });
  add(chunk: string | ArrayBuffer | ArrayBufferView): void;
  destroy(): void;
}
export declare const protocol: 5;
export declare const engineProtocol: 4;
export declare const managers: Record<string, Manager>;

/** The socket of the namespace that the URL's path names; without a URL, of the page's own server. */
export declare function io(options?: IoOptions): Socket<any, any>;
export declare function io(uri: string, options?: IoOptions): Socket<any, any>;
export { io as connect };
export default io;
export as namespace io;
