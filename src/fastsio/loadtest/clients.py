"""The clients of each scenario."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastsio._codec import Packet, PacketType, encode_event
from fastsio.loadtest import errors
from fastsio.loadtest.clock import clock
from fastsio.loadtest.connection import Link, Matcher, make_link
from fastsio.loadtest.wire import Message, Ring, Value, is_binary, payload

if TYPE_CHECKING:
    from fastsio.loadtest.worker import Worker

__all__ = [
    "ChurnClient",
    "Client",
    "ConnectClient",
    "EchoClient",
    "Group",
    "GroupClient",
    "ReconnectClient",
]

#: Seconds until a client whose connection failed tries again, at first and at most.
_RETRY = 0.5
_RETRY_MOST = 5.0
#: Messages of one client that an open loop lets be under way before it holds more back.
OPEN_LOOP_DEPTH = 512
#: The ack id of a `join`, unlike any of a ring.
_JOIN_ID = 1


class Client:
    """One client: connects, comes back after a fault, stays. What it sends is for subclasses."""

    __slots__ = ("_deadline", "_failures", "_first", "began", "connected", "index", "link", "worker")

    def __init__(self, worker: Worker, index: int) -> None:
        self.worker = worker
        self.index = index
        self.link: Link | None = None
        self.connected = False
        #: When the connection was begun or meant to be.
        self.began = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._failures = 0
        self._first = True

    def connect(self, intended: int | None = None) -> None:
        """Begin a connection; its time counts from ``intended``."""
        self.began = clock() if intended is None else intended
        self._deadline = self.worker.loop.call_later(self.worker.options.connect_timeout, self._too_late)
        self.link = make_link(self.worker.target, self, self.worker)
        self.link.start()

    def _too_late(self) -> None:
        if self.link is not None:
            self.link.fail(errors.CONNECT_TIMEOUT, f"{self.worker.options.connect_timeout:g} s")

    def _attempted(self) -> None:
        """The connection attempt is over, one way or the other."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._first:
            self._first = False
            self.worker.attempted()

    def opened(self, now: int) -> None:
        """The namespace is joined."""
        self.connected = True
        self._failures = 0
        worker = self.worker
        worker.connected += 1
        worker.stats.connects += 1
        worker.stats.connect_latencies.append(now - self.began)
        self.ready(now)
        self._attempted()

    def closed(self, kind: str | None, detail: str) -> None:
        """The connection is over."""
        worker = self.worker
        self.link = None
        if self.connected:
            self.connected = False
            worker.connected -= 1
            worker.stats.disconnects += 1
        if kind is not None:
            worker.stats.error(kind, detail)
        self.gone(kind)
        self._attempted()
        if kind is None or not worker.active:
            return
        self._failures += 1
        delay = min(_RETRY * 2 ** (self._failures - 1), _RETRY_MOST)
        worker.loop.call_later(delay * random.uniform(0.5, 1.5), self._again)

    def _again(self) -> None:
        if self.worker.active and self.link is None:
            self.connect()

    # For the scenarios.

    def ready(self, now: int) -> None:
        """It is connected."""

    def gone(self, kind: str | None) -> None:
        """It is not connected any more."""

    def go(self, now: int) -> None:
        """The load begins."""

    def cut(self) -> None:
        """Cut the connection, as a failing network would."""
        if self.link is not None:
            self.link.abort()

    def unanswered(self) -> int:
        """How many messages wait for a reply."""
        return 0

    def matcher(self) -> Matcher | None:
        """What is asked first about a read; None if nothing is."""
        return None

    def receive(self, messages: Sequence[Message], now: int) -> None:
        """Messages of one read."""
        for message in messages:
            if self.link is None:
                return
            self.link.take(message, now)

    def packet(self, packet: Packet, now: int) -> None:
        """An event or acknowledgement."""
        self.worker.stats.other += 1


class EchoClient(Client):
    """Sends numbered messages, holds each reply against the one that is due: scenarios echo and ack."""

    __slots__ = ("_at", "_backlog", "_next", "_ring", "_sent")

    def __init__(self, worker: Worker, index: int, ring: Ring) -> None:
        super().__init__(worker, index)
        self._ring = ring
        #: When each message under way was sent, or meant to be.
        self._sent: deque[int] = deque()
        #: Open loop: when messages were due that could not be sent yet.
        self._backlog: deque[int] = deque()
        # Each client at a number of its own, so that a reply to another client is not taken for one's own.
        self._next = index * 37 % ring.length
        #: The place in the ring's list of messages that is due.
        self._at = ring.starts[self._next]

    def ready(self, now: int) -> None:
        if self.worker.sending:
            self.go(now)

    def gone(self, kind: str | None) -> None:
        missing = len(self._sent)
        if missing and kind is not None:
            self.worker.stats.error(errors.LOST, "on a connection that broke", missing)
        self._sent.clear()
        self._at = self._ring.starts[self._next]

    def go(self, now: int) -> None:
        if self.connected and self.worker.pacer is None:
            self._send(self.worker.options.depth - len(self._sent), now)
        elif self.connected and self._backlog:
            self._send_backlog()

    def unanswered(self) -> int:
        return len(self._sent) + len(self._backlog)

    def offer(self, intended: int) -> None:
        """Open loop: a message is due."""
        if self.connected and len(self._sent) < OPEN_LOOP_DEPTH:
            self._send(1, intended)
        else:
            self._backlog.append(intended)

    def _send_backlog(self) -> None:
        room = OPEN_LOOP_DEPTH - len(self._sent)
        while self._backlog and room > 0:
            self._send(1, self._backlog.popleft())
            room -= 1

    def _send(self, count: int, when: int) -> None:
        link = self.link
        if count <= 0 or link is None:
            return
        first = self._next
        self._next = (first + count) & (self._ring.length - 1)
        if count == 1:
            self._sent.append(when)
        else:
            self._sent.extend([when] * count)
        self.worker.stats.sent += count
        link.send_ring(self._ring, first, count)

    def matcher(self) -> Matcher | None:
        return self._match

    def _match(self, data: bytes, now: int) -> bool:
        """Whether a read is replies that are due, byte for byte, which count then."""
        ring = self._ring
        number = ring.owner[self._at]
        done = ring.count_replies(number, data)
        sent = self._sent
        if not done or done > len(sent) or self._at != ring.starts[number]:
            return False
        self._at = ring.starts[(number + done) & (ring.length - 1)]
        latencies = self.worker.stats.latencies
        if done == len(sent) and sent[0] == sent[-1]:
            # Sent together, answered together.
            latencies += [now - sent[0]] * done
            sent.clear()
        else:
            for _ in range(done):
                latencies.append(now - sent.popleft())
        self._answered(done, now)
        return True

    def receive(self, messages: Sequence[Message], now: int) -> None:
        ring = self._ring
        expect = ring.expect
        ends = ring.ends
        at = self._at
        total = len(expect)
        done = 0
        for message in messages:
            if message == expect[at] and self._sent:
                if ends[at]:
                    self.worker.stats.latencies.append(now - self._sent.popleft())
                    done += 1
                at += 1
                if at == total:
                    at = 0
            else:
                self._at = at
                self._unexpected(message, now)
                at = self._at
                if self.link is None:
                    break
        self._at = at
        if done:
            self._answered(done, now)

    def _answered(self, done: int, now: int) -> None:
        """So many replies were right: there is room for others."""
        worker = self.worker
        worker.stats.received += done
        if worker.sending and self.link is not None:
            if worker.pacer is None:
                self._send(done, now)
            elif self._backlog:
                self._send_backlog()

    def _unexpected(self, message: Message, now: int) -> None:
        link = self.link
        ring = self._ring
        assert link is not None
        start = ring.starts[ring.owner[self._at]]
        if start != self._at:
            # A reply whose first messages were right and taken: the decoder needs them now.
            for known in range(start, self._at):
                link.take(ring.expect[known], now)
            self._at = start
        link.take(message, now)

    def packet(self, packet: Packet, now: int) -> None:
        stats = self.worker.stats
        ring = self._ring
        data = packet.data or []
        if ring.acks != (packet.type in (PacketType.ACK, PacketType.BINARY_ACK)) or (
            not ring.acks and data[:1] != ["echo"]
        ):
            stats.other += 1
            return
        value = data[0 if ring.acks else 1] if len(data) > (0 if ring.acks else 1) else None
        number = ring.find(value, packet.id if ring.acks else None)
        head = ring.owner[self._at]
        if number is None:
            stats.error(errors.WRONG_REPLY, f"{packet.type.name} {str(packet.data)[:100]}")
            # It stands for the reply that is due, so that the client goes on.
            number = head if self._sent else None
            wrong = True
        else:
            wrong = False
        if number is None:
            return
        skipped = (number - head) & (ring.length - 1)
        if skipped >= len(self._sent):
            stats.error(errors.DUPLICATE, f"message {number}")
            return
        if skipped:
            stats.error(errors.LOST, f"message {number} came, {head} was due", skipped)
            for _ in range(skipped):
                self._sent.popleft()
        sent = self._sent.popleft()
        if not wrong:
            stats.received += 1
            stats.latencies.append(now - sent)
        self._at = ring.starts[(number + 1) & (ring.length - 1)]
        if self.worker.sending and self.worker.pacer is None:
            self._send(1 + skipped, now)


class ChurnClient(EchoClient):
    """An echo client that leaves after a while, and one that takes its place."""

    __slots__ = ("_leaving",)

    def __init__(self, worker: Worker, index: int, ring: Ring) -> None:
        super().__init__(worker, index, ring)
        self._leaving: asyncio.TimerHandle | None = None

    def ready(self, now: int) -> None:
        super().ready(now)
        life = self.worker.options.lifetime * random.uniform(0.5, 1.5)
        self._leaving = self.worker.loop.call_later(life, self._leave)

    def _leave(self) -> None:
        if self.link is not None and self.worker.active:
            # What is under way is given up, and not the server's fault.
            self._sent.clear()
            self.link.close()

    def gone(self, kind: str | None) -> None:
        super().gone(kind)
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        if kind is None and self.worker.active:
            self.worker.loop.call_soon(self._again)


class ConnectClient(Client):
    """Connects and leaves, again and again: the connection storm. ``stats.received`` counts connections."""

    __slots__ = ()

    def ready(self, now: int) -> None:
        worker = self.worker
        worker.stats.received += 1
        worker.stats.latencies.append(now - self.began)
        if self.link is not None:
            self.link.close()

    def gone(self, kind: str | None) -> None:
        # After a fault the base class waits before it comes again.
        if kind is None and self.worker.sending:
            self.worker.loop.call_soon(self.next)

    def go(self, now: int) -> None:
        if self.link is None:
            self.next()

    def _again(self) -> None:
        self.next()

    def next(self) -> None:
        """Connect, if that is still wanted and, in an open loop, due."""
        if not self.worker.sending or self.link is not None:
            return
        if self.worker.pacer is None:
            self._arrive(None)
        else:
            self.worker.idle(self)

    def offer(self, intended: int) -> None:
        """Open loop: a connection is due."""
        self._arrive(intended)

    def _arrive(self, intended: int | None) -> None:
        self.worker.stats.sent += 1
        self.connect(intended)

    def unanswered(self) -> int:
        return int(self.link is not None and not self.connected)


class ReconnectClient(Client):
    """Stays; when its connection is cut, comes back as a Socket.IO client does: after a random pause."""

    __slots__ = ("_cut_at",)

    def __init__(self, worker: Worker, index: int) -> None:
        super().__init__(worker, index)
        self._cut_at = 0

    def go(self, now: int) -> None:
        """Cut the connection."""
        if not self.connected:
            return
        self._cut_at = clock()
        self.worker.stats.sent += 1
        self.cut()
        pause = self.worker.options.reconnect_delay * random.uniform(0.5, 1.5)
        self.worker.loop.call_later(pause, self._again)

    def ready(self, now: int) -> None:
        if self._cut_at:
            away = clock() - self._cut_at
            self._cut_at = 0
            stats = self.worker.stats
            stats.received += 1
            stats.back.append(away)
            stats.latencies.append(away)

    def unanswered(self) -> int:
        return int(self._cut_at != 0)


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
