"""Stream sockets on an epoll instance of their own, which the event loop watches as one descriptor (Linux)."""

import asyncio
import socket
from collections.abc import Callable

class Poller:
    """An epoll instance and the loop that watches it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None: ...
    def listen(self, sock: socket.socket, factory: Callable[[], asyncio.BaseProtocol]) -> Acceptor: ...
    def adopt(self, sock: socket.socket, protocol: asyncio.BaseProtocol) -> SocketTransport: ...
    def at_end_of_turn(self, callback: Callable[[], object]) -> bool: ...
    def close(self) -> None: ...

class Acceptor:
    """A listening socket."""

    @property
    def sockets(self) -> tuple[socket.socket, ...]: ...
    def close(self) -> None: ...

class SocketTransport(asyncio.Transport):
    """One connected stream socket."""
