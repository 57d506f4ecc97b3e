"""Clients that get the same messages: scenarios broadcast and rooms."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastsio._codec import Packet, PacketType, encode_event
from fastsio.loadtest import errors
from fastsio.loadtest.clients import Client
from fastsio.loadtest.clock import clock
from fastsio.loadtest.link import Matcher
from fastsio.loadtest.wire import Message, Value, is_binary, payload

if TYPE_CHECKING:
    from fastsio.loadtest.worker import Worker

__all__ = ["Group", "GroupClient"]

#: The ack id of a `join`, unlike any of a ring.
_JOIN_ID = 1


class Delivery:
    """A message of a group: how it arrives, and at how many members it still has to."""

    __slots__ = ("frames", "messages", "number", "sent", "waiting")

    def __init__(self, number: int, messages: list[Message], frames: bytes, sent: int, waiting: int) -> None:
        self.number = number
        self.messages = messages
        #: The messages as WebSocket frames, empty over polling.
        self.frames = frames
        self.sent = sent
        self.waiting = waiting


class Group:
    """The clients of one process that get the same messages: all of a broadcast, or those of a room.

    ``sends`` says whether the sender is in this process. A message's value tells its number, when it was
    sent (the processes of one machine share the clock) and the group.
    """

    MASK = 4095

    def __init__(self, worker: Worker, name: str, event: str, sends: bool) -> None:
        self.worker = worker
        self.name = name
        self.event = event
        self.sends = sends
        #: In the order in which they joined: the first is the sender, and stays it.
        self.members: dict[GroupClient, None] = {}
        self.log: list[Delivery | None] = [None] * (self.MASK + 1)
        self.next = 0
        self.under_way: dict[int, Delivery] = {}
        self._backlog: deque[int] = deque()
        # The last read that was whole messages, since most members get the same: the number it began with.
        self._run: tuple[int, bytes, list[Delivery]] = (-1, b"", [])

    @property
    def room(self) -> str | None:
        """The room, None for everybody."""
        return self.name if self.event == "room" else None

    def _sender(self) -> GroupClient | None:
        return next(iter(self.members), None)

    def join(self, client: GroupClient) -> None:
        """A client gets the group's messages from now on."""
        self.members[client] = None
        if self.worker.sending:
            self.go(clock())

    def leave(self, client: GroupClient) -> None:
        """A client is gone; nobody waits for what it has not got."""
        self.members.pop(client, None)
        for number, delivery in list(self.under_way.items()):
            if number >= max(client.due or 0, client.counted_from):
                self.give_up(delivery)

    def go(self, now: int) -> None:
        """Fill up what may be under way."""
        if not self.sends:
            return
        most = self.worker.options.depth if self.worker.pacer is None else self.MASK // 2
        if self.worker.pacer is None:
            while self.members and len(self.under_way) < most:
                self._send(now)
        else:
            while self._backlog and self.members and len(self.under_way) < most:
                self._send(self._backlog.popleft())

    def offer(self, intended: int) -> None:
        """Open loop: a message is due."""
        if self.members and len(self.under_way) < self.MASK // 2:
            self._send(intended)
        else:
            self._backlog.append(intended)

    def _send(self, when: int) -> None:
        sender = self._sender()
        assert sender is not None and sender.link is not None
        options = self.worker.options
        number = self.next
        self.next += 1
        value = payload(
            f"{number:08d}:{when}:{self.name}:", options.size, is_binary(number, options.binary), number
        )
        args = (self.event, value) if self.room is None else (self.event, self.room, value)
        delivery = self._make_delivery(number, value, when, len(self.members))
        self.log[number & self.MASK] = delivery
        self.under_way[number] = delivery
        self.worker.stats.sent += 1
        sender.link.send(encode_event(args, self.worker.target.namespace))

    def _make_delivery(self, number: int, value: Value, sent: int, waiting: int) -> Delivery:
        wire = self.worker.target.wire
        reply = encode_event((self.event, value), self.worker.target.namespace)
        messages = wire.incoming(reply)
        frames = b"" if wire.polling else wire.incoming_frames(messages)
        return Delivery(number, messages, frames, sent, waiting)

    def find_run(self, due: int, data: bytes) -> Sequence[Delivery]:
        """The messages from number ``due`` on that ``data`` is as WebSocket frames; none if it is anything
        else."""
        begins, known, run = self._run
        if begins == due and known == data:
            return run
        run = []
        position = 0
        while position < len(data):
            number = due + len(run)
            delivery = self.log[number & self.MASK]
            if (
                delivery is None
                or delivery.number != number
                or not delivery.frames
                or not data.startswith(delivery.frames, position)
            ):
                return ()
            run.append(delivery)
            position += len(delivery.frames)
        self._run = (due, data, run)
        return run

    def give_up(self, delivery: Delivery) -> None:
        """One member less will have a message."""
        delivery.waiting -= 1
        if not delivery.waiting:
            self.complete(delivery)

    def complete(self, delivery: Delivery) -> None:
        """Every member has a message that will ever have it."""
        if self.under_way.pop(delivery.number, None) is not None and self.worker.sending:
            self.go(clock())

    def learn(self, value: Value) -> Delivery | None:
        """The message with this value, None if it is not the group's; another process's is made known."""
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        digits, _, rest = text.partition(":")
        when, _, rest = rest.partition(":")
        name, _, _ = rest.partition(":")
        if name != self.name or not (
            digits.isdigit() and when.isdigit() and len(when) < 20 and len(digits) < 12
        ):
            return None
        number = int(digits)
        head = f"{digits}:{when}:{name}:"
        options = self.worker.options
        if value != payload(head, options.size, is_binary(number, options.binary), number):
            return None
        known = self.log[number & self.MASK]
        if known is not None and known.number == number:
            return known if known.sent == int(when) else None
        if self.sends:
            # This process knows all that are under way: an old one, or none at all.
            return Delivery(number, [], b"", int(when), 0) if number < self.next else None
        delivery = self._make_delivery(number, value, int(when), 0)
        if known is None or known.number < number:
            self.log[number & self.MASK] = delivery
        return delivery


class GroupClient(Client):
    """A member of a :class:`Group`: the broadcast and rooms scenarios."""

    __slots__ = ("_part", "counted_from", "due", "group")

    def __init__(self, worker: Worker, index: int, group: Group) -> None:
        super().__init__(worker, index)
        self.group = group
        #: The number of the message that is due; None before the first.
        self.due: int | None = None
        #: The first message whose sender counts on this member.
        self.counted_from = 0
        self._part = 0

    def ready(self, now: int) -> None:
        self._part = 0
        self.due = None
        room = self.group.room
        if room is None:
            self._joined()
        else:
            assert self.link is not None
            self.link.send(encode_event(("join", room), self.worker.target.namespace, _JOIN_ID))

    def _joined(self) -> None:
        self.counted_from = self.group.next
        # In mid-run the first that comes may be one that was on its way already.
        self.due = 0 if self.group.sends and self.group.next == 0 else None
        self.group.join(self)

    def gone(self, kind: str | None) -> None:
        self.group.leave(self)

    def matcher(self) -> Matcher | None:
        return self._match

    def _match(self, data: bytes, now: int) -> bool:
        """Whether a read is messages that are due, byte for byte, which count then."""
        if self.due is None or self._part:
            return False
        run = self.group.find_run(self.due, data)
        if not run:
            return False
        self._got(run, now)
        return True

    def receive(self, messages: Sequence[Message], now: int) -> None:
        log = self.group.log
        mask = self.group.MASK
        for message in messages:
            due = self.due
            delivery = log[due & mask] if due is not None else None
            if delivery is not None and delivery.number == due and message == delivery.messages[self._part]:
                self._part += 1
                if self._part == len(delivery.messages):
                    self._part = 0
                    self._got((delivery,), now)
                continue
            if self.link is None:
                return
            if self._part and delivery is not None:
                # The first part was right and taken: the decoder needs it now.
                self.link.take(delivery.messages[0], now)
                self._part = 0
                if self.link is None:
                    return
            self.link.take(message, now)

    def _got(self, deliveries: Sequence[Delivery], now: int) -> None:
        """Messages have come, one behind the other."""
        self.due = deliveries[-1].number + 1
        stats = self.worker.stats
        stats.received += len(deliveries)
        stats.latencies += [now - delivery.sent for delivery in deliveries]
        counted_from = self.counted_from
        for delivery in deliveries:
            if delivery.waiting and delivery.number >= counted_from:
                delivery.waiting -= 1
                if not delivery.waiting:
                    self.group.complete(delivery)

    def packet(self, packet: Packet, now: int) -> None:
        stats = self.worker.stats
        group = self.group
        data = packet.data or []
        if packet.type in (PacketType.ACK, PacketType.BINARY_ACK):
            if packet.id == _JOIN_ID and self not in group.members:
                self._joined()
            else:
                stats.other += 1
            return
        if data[:1] != [group.event]:
            stats.other += 1
            return
        value = data[1] if len(data) > 1 else None
        delivery = group.learn(value) if isinstance(value, (str, bytes)) else None
        if delivery is None:
            stats.error(errors.WRONG_REPLY, f"{str(packet.data)[:100]}")
            return
        due = self.due
        if due is not None and delivery.number < due:
            stats.error(errors.DUPLICATE, f"message {delivery.number}")
            return
        if due is not None and delivery.number > due:
            stats.error(errors.LOST, f"message {delivery.number} came, {due} was due", delivery.number - due)
            for number in range(due, delivery.number):
                skipped = group.under_way.get(number)
                if skipped is not None and number >= self.counted_from:
                    group.give_up(skipped)
        self._got((delivery,), now)
