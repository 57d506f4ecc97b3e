"""Connections that reached the wrong worker go to the right one, with their descriptor (SCM_RIGHTS).

A request of a session names the worker that has it. Between workers there is a stream socket in each
direction, on which a connection is its descriptor and what was read from it, as a frame.
"""

from __future__ import annotations

import array
import asyncio
import logging
import os
import socket
from collections import deque
from typing import Any, Final, cast

from fastsio.engine.workers import Frames, WorkerPlace, frame, worker_of
from fastsio.net.http import HttpProtocol
from fastsio.net.hub import Hub

__all__ = ["Handover"]

logger = logging.getLogger("fastsio.net")

# Connections that may wait for one worker; what comes then is answered here, as a session that is unknown.
_MAX_WAITING: Final = 1024
_READ_SIZE: Final = 262_144
_MAX_DESCRIPTORS: Final = 64


class Handover:
    """The way of connections from this worker to the others, and from them to this one."""

    def __init__(self, hub: Hub, place: WorkerPlace) -> None:
        self._hub = hub
        self._place = place
        self._loop = hub.loop
        self._out: dict[int, _Outgoing] = {}
        self._in: set[_Incoming] = set()
        path = place.socket_of(place.number, "handover")
        # A worker that died has left its own.
        if os.path.exists(path):
            os.unlink(path)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.setblocking(False)
        self._listening.bind(path)
        self._listening.listen(place.count * 4)
        self._loop.add_reader(self._listening, self._accept)

    def take(self, transport: asyncio.Transport, data: bytes) -> bool:
        """Give a connection to the worker that a request names; whether it is gone.

        :param data: what was read: a request from its beginning.
        """
        number = worker_of(data)
        if number is None or number == self._place.number or number >= self._place.count:
            return False
        sock = transport.get_extra_info("socket")
        # The state of a TLS connection is in this process alone.
        if sock is None or transport.get_extra_info("sslcontext") is not None:
            return False
        outgoing = self._out.get(number)
        if outgoing is None or outgoing.broken:
            try:
                outgoing = _Outgoing(self._loop, self._place.socket_of(number, "handover"))
            except OSError as error:
                logger.info("worker %d cannot be reached: %s", number, error)
                return False
            self._out[number] = outgoing
        return outgoing.send(os.dup(sock.fileno()), data)

    def _accept(self) -> None:
        try:
            sock, _ = self._listening.accept()
        except OSError:
            return
        self._in.add(_Incoming(self._loop, sock, self._adopt, self._in.discard))

    def _adopt(self, descriptor: int, data: bytes) -> None:
        """A connection of another worker."""
        hub = self._hub
        assert hub.poller is not None
        try:
            sock = socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)
            raise
        protocol = HttpProtocol(hub)
        # Compiled classes cannot inherit from asyncio's.
        transport = hub.poller.adopt(sock, cast(asyncio.BaseProtocol, protocol))
        if not transport.is_closing():
            protocol.data_received(data)

    def close(self) -> None:
        """Stop; connections on their way here are closed."""
        self._loop.remove_reader(self._listening)
        self._listening.close()
        for outgoing in self._out.values():
            outgoing.close()
        for incoming in list(self._in):
            incoming.close()


class _Outgoing:
    """Connections on their way to one worker, in order.

    :raises OSError: if it is not there.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, path: str) -> None:
        self._loop = loop
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.setblocking(False)
        try:
            self._sock.connect(path)
        except OSError:
            self._sock.close()
            raise
        #: Bytes, and the descriptor that goes with the first of them; -1 for what was begun.
        self._waiting: deque[tuple[int, memoryview]] = deque()
        self._writing = False
        self.broken = False

    def send(self, descriptor: int, data: bytes) -> bool:
        """Send a connection, whose descriptor is closed afterwards; False if that cannot be."""
        if len(self._waiting) >= _MAX_WAITING:
            logger.warning("%d connections wait for another worker; one more is refused", _MAX_WAITING)
            os.close(descriptor)
            return False
        self._waiting.append((descriptor, memoryview(frame(data))))
        if not self._writing:
            self._flush()
        # If it broke, the connection went with it: the client comes again.
        return True

    def _flush(self) -> None:
        try:
            while self._waiting:
                descriptor, data = self._waiting[0]
                rights: list[Any] = []
                if descriptor >= 0:
                    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
                sent = self._sock.sendmsg([data], rights)
                if descriptor >= 0:
                    os.close(descriptor)
                if sent == len(data):
                    self._waiting.popleft()
                else:
                    self._waiting[0] = (-1, data[sent:])
        except BlockingIOError:
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._sock, self._flush)
            return
        except OSError as error:
            logger.info("a worker is gone: %s", error)
            self.close()
            return
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._sock)

    def close(self) -> None:
        """Give up what waits."""
        if self.broken:
            return
        self.broken = True
        if self._writing:
            self._loop.remove_writer(self._sock)
        self._sock.close()
        for descriptor, _ in self._waiting:
            if descriptor >= 0:
                os.close(descriptor)
        self._waiting.clear()


class _Incoming:
    """Connections of one worker: ``adopt(descriptor, data)`` is called for each."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, adopt: Any, on_end: Any) -> None:
        self._loop = loop
        self._sock = sock
        self._adopt = adopt
        self._on_end = on_end
        self._descriptors: deque[int] = deque()
        self._frames = Frames()
        sock.setblocking(False)
        loop.add_reader(sock, self._read)

    def _read(self) -> None:
        try:
            space = socket.CMSG_SPACE(_MAX_DESCRIPTORS * array.array("i").itemsize)
            data, ancillary, _, _ = self._sock.recvmsg(_READ_SIZE, space, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        for level, kind, raw in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors = array.array("i")
                descriptors.frombytes(raw[: len(raw) - len(raw) % descriptors.itemsize])
                self._descriptors.extend(descriptors)
        if not data:
            self.close()
            return
        for payload in self._frames.feed(data):
            try:
                self._adopt(self._descriptors.popleft(), payload)
            except Exception:
                logger.exception("a connection of another worker was dropped")

    def close(self) -> None:
        """Drop what has not come whole."""
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        self._on_end(self)
