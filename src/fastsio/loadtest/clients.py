"""The clients of each scenario."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastsio._codec import Packet, PacketType
from fastsio.loadtest import errors
from fastsio.loadtest.clock import clock
from fastsio.loadtest.link import Link, Matcher
from fastsio.loadtest.polling import PollingLink
from fastsio.loadtest.websocket import WebSocketLink
from fastsio.loadtest.wire import Message, Ring

if TYPE_CHECKING:
    from fastsio.loadtest.worker import Worker

__all__ = [
    "ChurnClient",
    "Client",
    "ConnectClient",
    "EchoClient",
    "ReconnectClient",
]

#: Seconds until a client whose connection failed tries again, at first and at most.
_RETRY = 0.5
_RETRY_MOST = 5.0
#: Messages of one client that an open loop lets be under way before it holds more back.
_OPEN_LOOP_DEPTH = 512


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
        target = self.worker.target
        kind = PollingLink if target.wire.polling else WebSocketLink
        self.link = kind(target, self, self.worker)
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
        if self.connected and len(self._sent) < _OPEN_LOOP_DEPTH:
            self._send(1, intended)
        else:
            self._backlog.append(intended)

    def _send_backlog(self) -> None:
        room = _OPEN_LOOP_DEPTH - len(self._sent)
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
        if kind is None:
            self.worker.loop.call_soon(self.next)

    def go(self, now: int) -> None:
        if self.link is None:
            self.next()

    def _again(self) -> None:
        self.next()

    def next(self) -> None:
        """Connect, if that is still wanted or, in an open loop, due."""
        if self.link is not None:
            return
        if self.worker.pacer is not None:
            self.worker.idle(self)
        elif self.worker.sending:
            self._arrive(None)

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
