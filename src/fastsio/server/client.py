"""One connection: an Engine.IO session, its decoder, and its sockets by namespace."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from fastsio._codec import Decoder, EncodedPacket, Packet, PacketType
from fastsio.adapters.base import RecoverySession
from fastsio.engine import tasks
from fastsio.engine.middleware import run_middlewares
from fastsio.engine.request import Request, parse_query
from fastsio.engine.session import Session
from fastsio.engine.sink import FunctionSink, Sink
from fastsio.exceptions import ConnectionRefused, FastSIOError, NamespaceNotFound, PacketError
from fastsio.parsers import CustomDecoder
from fastsio.server.handshake import Handshake
from fastsio.server.socket import Socket
from fastsio.types import DisconnectReason

if TYPE_CHECKING:
    from fastsio.server.namespace import Namespace
    from fastsio.server.server import Server

__all__ = ["Client"]

logger = logging.getLogger("fastsio.server")

_CONNECT = int(PacketType.CONNECT)
_DISCONNECT = int(PacketType.DISCONNECT)
_EVENT = int(PacketType.EVENT)
_ACK = int(PacketType.ACK)
_CONNECT_ERROR = int(PacketType.CONNECT_ERROR)
_BINARY_EVENT = int(PacketType.BINARY_EVENT)


class Client(Sink):
    """Takes packets from a session and hands them to the sockets they are for.

    ``protocol`` is the Socket.IO protocol: 4 for clients of v2, 5 for those of v3 and v4.
    """

    def __init__(self, server: Server, session: Session) -> None:
        self.server = server
        self.conn = session
        self.protocol = 5 if session.protocol == 4 else 4
        self.sockets: dict[str, Socket] = {}
        self.deadline = 0.0
        self.tick = 0
        decoder = server.create_decoder(self.protocol)
        self._decoder: Any = decoder if isinstance(decoder, Decoder) else None
        # CONNECTs of a v2 client that came before its "/" was accepted (connectBuffer in 2.x).
        self._waiting: list[str] | None = [] if self.protocol == 4 else None
        # CONNECTs that middlewares think about; made when first needed.
        self._admissions: set[asyncio.Task[Any]] | None = None
        if isinstance(decoder, Decoder):
            self.conn.attach(self)
        else:
            sink = FunctionSink(
                lambda payload: self._on_chunk(decoder, payload[1:].decode()),
                lambda data: self._on_chunk(decoder, data),
                self.on_close,
            )
            self.conn.attach(sink)
        server.engine.timers.arm(self, server.options.connect_timeout)
        if self.protocol == 4:
            self._connect("/", None, {})

    @property
    def id(self) -> str:
        """The id of the session."""
        return self.conn.id

    @property
    def request(self) -> Request:
        """The request the session began with."""
        return self.conn.request

    def __repr__(self) -> str:
        return f"<Client {self.id} protocol {self.protocol}>"

    # -- receiving ------------------------------------------------------------------------------------

    def on_frame(self, payload: bytes) -> None:
        """A text message in its frame."""
        if len(payload) == 1:
            self._on_invalid(PacketError("a message without data"))
            return
        try:
            packet = self._decoder.add_text(payload, 1)
        except PacketError as error:
            self._on_invalid(error)
            return
        self._on_decoded(packet)

    def on_message(self, data: str | bytes) -> None:
        """Any other message."""
        if data == "":
            self._on_invalid(PacketError("a message without data"))
            return
        try:
            packet = self._decoder.add(data)
        except PacketError as error:
            self._on_invalid(error)
            return
        self._on_decoded(packet)

    def _on_chunk(self, decoder: CustomDecoder, data: str | bytes) -> None:
        """A message for the application's parser."""
        try:
            packets = decoder.add(data)
        except PacketError as error:
            self._on_invalid(error)
            return
        for packet in packets:
            if self.conn.ready_state == "open":
                self._on_packet(packet)

    def _on_decoded(self, packet: Packet | None) -> None:
        if packet is not None:
            self._on_packet(packet)
        elif not self.sockets and self.protocol == 5:
            # Attachments are collected only for somebody who is in a namespace.
            self._on_invalid(PacketError("a binary packet before CONNECT"))

    def _on_packet(self, packet: Packet) -> None:
        kind = packet.kind
        if kind == _CONNECT:
            self._on_connect(packet)
            return
        socket = self.sockets.get(packet.namespace)
        if socket is None:
            # A v2 server ignores what is not for a namespace of the client; later ones end the connection.
            if self.protocol == 5:
                self._on_invalid(PacketError(f"a packet for {packet.namespace!r}, which was not joined"))
        elif kind == _EVENT or kind == _BINARY_EVENT:
            if packet.data:
                socket.on_event(packet)
            else:
                self._on_invalid(PacketError("an event without a name"))
        elif kind == _DISCONNECT:
            socket.end(DisconnectReason.CLIENT_NAMESPACE_DISCONNECT)
        elif kind == _CONNECT_ERROR:
            if self.protocol == 5:
                self._on_invalid(PacketError("CONNECT_ERROR from a client"))
            else:
                socket.on_error(FastSIOError(f"error from the client: {packet.data!r}"))
        else:
            socket.on_ack(packet)

    def _on_invalid(self, error: PacketError) -> None:
        logger.info("%r: %s; closing the connection", self, error)
        for socket in list(self.sockets.values()):
            socket.on_error(error)
        self.close()

    # -- namespaces -----------------------------------------------------------------------------------

    def _on_connect(self, packet: Packet) -> None:
        if self.protocol == 5:
            if packet.namespace in self.sockets:
                self._on_invalid(PacketError(f"CONNECT to {packet.namespace!r}, which was joined already"))
            else:
                self._connect(packet.namespace, packet.data, None)
        elif self._waiting is not None and packet.namespace != "/":
            if len(self._waiting) >= 100:
                self._on_invalid(PacketError("too many namespaces before the first is accepted"))
            else:
                self._waiting.append(packet.namespace)
        else:
            self._connect_v2(packet.namespace)

    def _connect_v2(self, target: str) -> None:
        name, _, query = target.partition("?")
        if name not in self.sockets:
            self._connect(name, None, parse_query(query))

    def _connect(self, name: str, auth: Any, namespace_query: dict[str, str] | None) -> None:
        handshake = Handshake(self.conn.request, auth, namespace_query)
        namespace = self.server.find(name)
        comes_back = self.protocol == 5 and isinstance(auth, dict) and "pid" in auth
        if namespace is not None and not namespace.middlewares and not comes_back:
            self._begin(self._make_socket(namespace, handshake))
        else:
            task = tasks.start(
                self._admit(name, namespace, handshake),
                on_error=lambda error: self._refuse(name, error),
            )
            if not task.done():
                if self._admissions is None:
                    self._admissions = set()
                self._admissions.add(task)
                task.add_done_callback(self._admissions.discard)

    async def _admit(self, name: str, namespace: Namespace | None, handshake: Handshake) -> None:
        if namespace is None:
            namespace = await self.server.find_dynamic(name, handshake.auth)
        socket = self._make_socket(namespace, handshake)
        namespace.hold()
        try:
            await self._pass(socket)
            self._begin(socket)
        finally:
            namespace.let_go()

    async def _pass(self, socket: Socket) -> None:
        """Restore what is kept of the client and have it pass the middlewares."""
        namespace, handshake = socket.nsp, socket.handshake
        recovery = namespace.recovery
        if recovery is not None and self.protocol == 5 and isinstance(handshake.auth, dict):
            session = await self._find_session(namespace, handshake.auth)
            if session is not None:
                socket.restore(session)
        try:
            if recovery is None or not (socket.recovered and recovery.skip_middlewares):
                await run_middlewares(namespace.middlewares, socket)
        except BaseException:
            self._give_up(socket)
            raise

    async def _find_session(self, namespace: Namespace, auth: dict[str, Any]) -> RecoverySession | None:
        """What is kept of the client, if it asks for it as clients do."""
        pid, offset = auth.get("pid"), auth.get("offset")
        if not isinstance(pid, str) or not (offset is None or isinstance(offset, str)):
            return None
        holder = namespace.pids.get(pid)
        if holder is not None and holder.client is not self:
            # The client knows sooner than the heartbeat that its old connection is dead.
            holder.conn.end(DisconnectReason.TRANSPORT_CLOSE, "the client came back over another connection")
        try:
            return await namespace.adapter.restore_session(pid, offset)
        except Exception:
            logger.exception("%r: the adapter of %s cannot restore a session", self, namespace.name)
            return None

    def _give_up(self, socket: Socket) -> None:
        """A socket that does not come about: a middleware may have had it join rooms."""
        socket.leave_all()
        if socket.recovery is not None:
            socket.adapter.release_session(socket.recovery)
        socket.nsp.release()

    def _make_socket(self, namespace: Namespace, handshake: Handshake) -> Socket:
        return Socket(namespace, self, self.server.socket_id(namespace, self.conn), handshake)

    def _begin(self, socket: Socket) -> None:
        namespace = socket.nsp
        if self.conn.ready_state != "open" or namespace.name in self.sockets:
            self._give_up(socket)
            return
        missed: list[EncodedPacket] | None = None
        if socket.recovery is not None:
            # More than that at once would end the session as one that does not keep up.
            limit = self.server.engine.options.max_buffered_bytes // 2
            missed = namespace.adapter.resume_session(socket.recovery, limit)
            if missed is None:
                logger.info("%r missed more than can be given; it has to connect afresh", self)
                self.close()
                return
        self.server.engine.timers.cancel(self)
        self.sockets[namespace.name] = socket
        namespace.add(socket, missed or ())
        if self._waiting is not None and namespace.name == "/":
            waiting, self._waiting = self._waiting, None
            for target in waiting:
                self._connect_v2(target)

    def _refuse(self, name: str, error: BaseException) -> None:
        """Answer a CONNECT that is refused, in each protocol's form."""
        if isinstance(error, NamespaceNotFound):
            message, data = "Invalid namespace", None
        else:
            message, data = str(error), getattr(error, "data", None)
            if not isinstance(error, ConnectionRefused):
                logger.info("%r: a middleware refused %s: %r", self, name, error)
        if self.protocol == 5:
            answer: Any = {"message": message} if data is None else {"message": message, "data": data}
        else:
            answer = data if data else message
        packet = Packet(PacketType.CONNECT_ERROR, name, answer)
        self.conn.send_encoded(self.server.encode_packet(packet, self.protocol))

    def remove(self, socket: Socket) -> None:
        """A socket of this client is over."""
        if self.sockets.get(socket.nsp.name) is socket:
            del self.sockets[socket.nsp.name]

    # -- ending ---------------------------------------------------------------------------------------

    def expire(self) -> None:
        """``connect_timeout`` has passed."""
        if not self.sockets:
            logger.info("%r joined no namespace in time, closing it (option connect_timeout)", self)
            self.close()

    def disconnect(self) -> None:
        """Disconnect every socket, then close the connection."""
        for socket in list(self.sockets.values()):
            socket.disconnect()
        self.close()

    def close(self) -> None:
        """Close the connection; the sockets are told at once even if the session cannot end at once."""
        if self.conn.ready_state == "open":
            self.conn.close()
            self.on_close(DisconnectReason.FORCED_SERVER_CLOSE, None)

    def on_close(self, reason: DisconnectReason, description: Any) -> None:
        """The session is over, or is told so."""
        self.server.engine.timers.cancel(self)
        if self._decoder is not None:
            self._decoder.reset()
        for task in list(self._admissions or ()):
            task.cancel()
        for socket in list(self.sockets.values()):
            socket.end(reason, description)
