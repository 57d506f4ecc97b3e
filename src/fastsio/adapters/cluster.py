"""What adapters of several processes have in common, whatever carries their messages."""

from __future__ import annotations

import asyncio
import logging
import secrets
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from fastsio.adapters.base import BroadcastOptions, NamespaceLike, SocketDetails, SocketLike
from fastsio.adapters.bus import (
    BusError,
    Message,
    MessageType,
    pack,
    read_args,
    read_event,
    read_list,
    read_names,
    read_options,
    read_text,
    write_event,
    write_options,
)
from fastsio.adapters.memory import MemoryAdapter
from fastsio.engine import tasks
from fastsio.exceptions import AckTimeout, PacketError

if TYPE_CHECKING:
    from fastsio.adapters.base import Answers

__all__ = ["ClusterAdapter"]

logger = logging.getLogger("fastsio.adapters")


class ClusterAdapter(MemoryAdapter):
    """Rooms of this process, and messages to the adapters of the same namespace in other processes.

    A subclass carries messages: :meth:`publish`, :meth:`respond` and :meth:`server_count`, and calls
    :meth:`on_message` with what comes.

    :ivar uid: names this adapter in the cluster.
    :param requests_timeout: seconds in which other processes have to answer.
    """

    def __init__(self, namespace: NamespaceLike, requests_timeout: float) -> None:
        super().__init__(namespace)
        self.uid = secrets.token_hex(8)
        self.requests_timeout = requests_timeout
        self._questions: dict[str, _Question] = {}
        self._ack_requests: dict[str, _AckRequest] = {}

    def write_message(self, type_: MessageType, data: dict[str, Any]) -> dict[str, Any]:
        """A message as it goes over the bus."""
        return {"uid": self.uid, "nsp": self.namespace.name, "type": int(type_), "data": data}

    @abstractmethod
    def publish(self, type_: MessageType, data: dict[str, Any]) -> None:
        """Tell the other adapters of the namespace.

        :raises PacketError: for data that cannot be sent.
        """

    @abstractmethod
    def respond(self, uid: str, type_: MessageType, data: dict[str, Any]) -> None:
        """Answer the adapter that is named ``uid``.

        :raises PacketError: for data that cannot be sent.
        """

    @abstractmethod
    async def server_count(self) -> int:
        """How many processes the cluster has, this one among them."""

    # -- what this process wants of the others ----------------------------------------------------------

    def broadcast_event(self, args: tuple[Any, ...], options: BroadcastOptions) -> None:
        """Send an event to every socket of the cluster that ``options`` names."""
        super().broadcast_event(args, options)
        if not options.flags.local:
            self.publish(MessageType.BROADCAST, {"packet": write_event(args), "opts": write_options(options)})

    def broadcast_with_ack(
        self,
        args: tuple[Any, ...],
        options: BroadcastOptions,
        on_clients: Callable[[int], None],
        on_answer: Callable[[Any], None],
    ) -> None:
        """Send an event to every socket of the cluster that ``options`` names, and ask each for an
        acknowledgement."""
        if not options.flags.local:
            request_id = secrets.token_hex(8)
            data = {"packet": write_event(args), "requestId": request_id, "opts": write_options(options)}
            self.publish(MessageType.BROADCAST, data)
            request = _AckRequest(on_clients, on_answer, lambda: self._ack_requests.pop(request_id, None))
            self._ack_requests[request_id] = request
            self.namespace.timers.arm(request, options.flags.timeout or 0.0)
        super().broadcast_with_ack(args, options, on_clients, on_answer)

    async def fetch_sockets(self, options: BroadcastOptions) -> list[SocketLike | SocketDetails]:
        """The sockets of the cluster that ``options`` names.

        :raises AckTimeout: if not every process has answered in time; ``responses`` are those that did.
        """
        if options.flags.local:
            return await super().fetch_sockets(options)
        data = {"opts": write_options(options)}
        answers = await self._ask(MessageType.FETCH_SOCKETS, data)
        found: list[SocketLike | SocketDetails] = list(self.local_sockets(options))
        for answer in answers:
            found.extend(answer)
        return found

    def server_side_emit(self, args: tuple[Any, ...], answers: Answers | None) -> None:
        """Have ``on_server_side_emit`` called on the namespace of every other process."""
        data = {"packet": list(args)}
        if answers is None:
            self.publish(MessageType.SERVER_SIDE_EMIT, data)
        else:
            tasks.start(self._emit_server_side(data, answers), on_error=lambda error: answers(error, []))

    async def _emit_server_side(self, data: dict[str, Any], answers: Answers) -> None:
        try:
            responses = await self._ask(MessageType.SERVER_SIDE_EMIT, data)
        except AckTimeout as error:
            answers(error, error.responses)
        else:
            answers(None, responses)

    async def _ask(self, type_: MessageType, data: dict[str, Any]) -> list[Any]:
        """What every other process answers."""
        missing = await self.server_count() - 1
        if missing <= 0:
            return []
        request_id = secrets.token_hex(8)
        question = self._questions[request_id] = _Question(missing)
        try:
            self.publish(type_, {**data, "requestId": request_id})
            return await asyncio.wait_for(question.future, self.requests_timeout)
        except asyncio.TimeoutError:
            raise AckTimeout(self.requests_timeout, list(question.answers.values())) from None
        finally:
            del self._questions[request_id]

    # Rooms change at once here, and elsewhere when the message comes.

    def add_sockets(self, options: BroadcastOptions, rooms: Iterable[str]) -> None:
        """Put the sockets of the cluster that ``options`` names in ``rooms``."""
        wanted = list(rooms)
        if not options.flags.local:
            self.publish(MessageType.SOCKETS_JOIN, {"opts": write_options(options), "rooms": wanted})
        super().add_sockets(options, wanted)

    def del_sockets(self, options: BroadcastOptions, rooms: Iterable[str]) -> None:
        """Take the sockets of the cluster that ``options`` names out of ``rooms``."""
        wanted = list(rooms)
        if not options.flags.local:
            self.publish(MessageType.SOCKETS_LEAVE, {"opts": write_options(options), "rooms": wanted})
        super().del_sockets(options, wanted)

    def disconnect_sockets(self, options: BroadcastOptions, close: bool) -> None:
        """Disconnect the sockets of the cluster that ``options`` names."""
        if not options.flags.local:
            data = {"opts": write_options(options), "close": close}
            self.publish(MessageType.DISCONNECT_SOCKETS, data)
        super().disconnect_sockets(options, close)

    # -- what others want -------------------------------------------------------------------------------

    def on_message(self, message: Message) -> None:
        """A message of another adapter of this namespace; those that it sent itself do not count.

        :raises BusError: for one that is malformed.
        """
        handler = _HANDLERS.get(message.type)
        if handler is not None:
            handler(self, message)

    def _on_broadcast(self, message: Message) -> None:
        data = message.data
        args, options = read_event(data), read_options(data)
        if data.get("requestId") is None:
            super().broadcast_event(args, options)
            return
        asks = {"requestId": read_text(data, "requestId")}
        super().broadcast_with_ack(
            args,
            options,
            lambda count: self.respond(
                message.uid, MessageType.BROADCAST_CLIENT_COUNT, {**asks, "clientCount": count}
            ),
            lambda answer: self.respond(message.uid, MessageType.BROADCAST_ACK, {**asks, "packet": answer}),
        )

    def _on_join(self, message: Message) -> None:
        super().add_sockets(read_options(message.data), read_names(message.data, "rooms"))

    def _on_leave(self, message: Message) -> None:
        super().del_sockets(read_options(message.data), read_names(message.data, "rooms"))

    def _on_disconnect(self, message: Message) -> None:
        super().disconnect_sockets(read_options(message.data), message.data.get("close") is True)

    def _on_fetch(self, message: Message) -> None:
        request_id = read_text(message.data, "requestId")
        sockets = [_describe(socket) for socket in self.local_sockets(read_options(message.data))]
        data = {"requestId": request_id, "sockets": sockets}
        try:
            self.respond(message.uid, MessageType.FETCH_SOCKETS_RESPONSE, data)
        except PacketError:
            # The others are not to wait in vain because of one.
            for socket in sockets:
                _without_data_that_cannot_be_sent(socket)
            self.respond(message.uid, MessageType.FETCH_SOCKETS_RESPONSE, data)

    def _on_server_side_emit(self, message: Message) -> None:
        args = read_args(message.data, "packet")
        ack = None
        if message.data.get("requestId") is not None:
            ack = self._make_ack(message.uid, read_text(message.data, "requestId"))
        self.namespace.on_server_side_emit(args, ack)

    def _make_ack(self, uid: str, request_id: str) -> Callable[..., None]:
        answered = False

        def ack(*args: Any) -> None:
            nonlocal answered
            if not answered:
                answered = True
                data = {"requestId": request_id, "packet": args[0] if args else None}
                self.respond(uid, MessageType.SERVER_SIDE_EMIT_RESPONSE, data)

        return ack

    # -- what others answer; too late, if nobody waits any more -------------------------------------------

    def _on_fetched(self, message: Message) -> None:
        question = self._questions.get(read_text(message.data, "requestId"))
        if question is not None:
            sockets = [_read_details(socket) for socket in read_list(message.data, "sockets")]
            question.answer(message.uid, sockets)

    def _on_emitted(self, message: Message) -> None:
        question = self._questions.get(read_text(message.data, "requestId"))
        if question is not None:
            question.answer(message.uid, message.data.get("packet"))

    def _on_client_count(self, message: Message) -> None:
        request = self._ack_requests.get(read_text(message.data, "requestId"))
        count = message.data.get("clientCount")
        if type(count) is not int or count < 0:
            raise BusError("clientCount is not a number of clients")
        if request is not None:
            request.count(message.uid, count)

    def _on_ack(self, message: Message) -> None:
        request = self._ack_requests.get(read_text(message.data, "requestId"))
        if request is not None:
            request.on_answer(message.data.get("packet"))


_HANDLERS: Mapping[int, Callable[[ClusterAdapter, Message], None]] = {
    MessageType.BROADCAST: ClusterAdapter._on_broadcast,
    MessageType.SOCKETS_JOIN: ClusterAdapter._on_join,
    MessageType.SOCKETS_LEAVE: ClusterAdapter._on_leave,
    MessageType.DISCONNECT_SOCKETS: ClusterAdapter._on_disconnect,
    MessageType.FETCH_SOCKETS: ClusterAdapter._on_fetch,
    MessageType.FETCH_SOCKETS_RESPONSE: ClusterAdapter._on_fetched,
    MessageType.SERVER_SIDE_EMIT: ClusterAdapter._on_server_side_emit,
    MessageType.SERVER_SIDE_EMIT_RESPONSE: ClusterAdapter._on_emitted,
    MessageType.BROADCAST_CLIENT_COUNT: ClusterAdapter._on_client_count,
    MessageType.BROADCAST_ACK: ClusterAdapter._on_ack,
}


class _Question:
    """Waits for one answer of each other process."""

    __slots__ = ("answers", "future", "missing")

    def __init__(self, missing: int) -> None:
        self.missing = missing
        self.answers: dict[str, Any] = {}
        self.future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

    def answer(self, uid: str, answer: Any) -> None:
        self.answers.setdefault(uid, answer)
        if len(self.answers) >= self.missing and not self.future.done():
            self.future.set_result(list(self.answers.values()))


class _AckRequest:
    """A broadcast whose recipients elsewhere are to answer, until its time is over."""

    __slots__ = ("_counted", "_on_clients", "_on_over", "deadline", "on_answer", "tick")

    def __init__(
        self, on_clients: Callable[[int], None], on_answer: Callable[[Any], None], on_over: Callable[[], Any]
    ) -> None:
        self._on_clients = on_clients
        self._on_over = on_over
        self._counted: set[str] = set()
        self.on_answer = on_answer
        self.deadline = 0.0
        self.tick = 0

    def count(self, uid: str, clients: int) -> None:
        if uid not in self._counted:
            self._counted.add(uid)
            self._on_clients(clients)

    def expire(self) -> None:
        self._on_over()


def _describe(socket: SocketLike) -> dict[str, Any]:
    # A namespace's sockets have more than an adapter needs to send to them.
    described = cast(Any, socket)
    return {
        "id": described.id,
        "handshake": described.handshake.as_dict(),
        "rooms": list(described.rooms),
        "data": described.data,
    }


def _without_data_that_cannot_be_sent(described: dict[str, Any]) -> None:
    try:
        pack(described["data"])
    except PacketError as error:
        logger.warning("the data of socket %s are not told to other servers: %s", described["id"], error)
        described["data"] = None


def _read_details(value: Any) -> SocketDetails:
    if not isinstance(value, dict) or not isinstance(value.get("handshake"), dict):
        raise BusError("a socket without a handshake")
    rooms = frozenset(read_names(value, "rooms"))
    return SocketDetails(read_text(value, "id"), value["handshake"], rooms, value.get("data"))
