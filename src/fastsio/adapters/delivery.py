"""How an encoded packet reaches sockets of this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastsio._codec import EncodedPacket
from fastsio._emitter import EventEmitter
from fastsio.adapters.base import PLAIN, BroadcastFlags
from fastsio.engine.session import Session

if TYPE_CHECKING:
    from fastsio.adapters.base import SocketLike

__all__ = ["Recipient", "deliver"]


class Recipient(EventEmitter):
    """The sending half of a server's socket.

    A base class of its own, below the sockets: what a broadcast does for each of them is calls of C then.
    """

    _session: Session
    _outgoing: list[Callable[..., Any]] | None

    def send_encoded(self, packet: EncodedPacket, flags: BroadcastFlags) -> None:
        """Send an encoded packet, dropping it if it is volatile and cannot leave at once."""
        self._take(packet, flags)

    def _take(self, packet: EncodedPacket, flags: BroadcastFlags) -> None:
        if self._outgoing is not None:
            self._show_outgoing(packet)
        session = self._session
        if flags is PLAIN:
            session.send_encoded(packet)
        elif not flags.volatile or session.writable:
            session.send_encoded(packet, flags.compress)

    def _show_outgoing(self, packet: EncodedPacket) -> None:
        """Tell the listeners of what is sent."""
        raise NotImplementedError


def deliver(sockets: list[SocketLike], packet: EncodedPacket, flags: BroadcastFlags) -> None:
    """Send ``packet`` to each of ``sockets``; they may also be an application's own objects."""
    for socket in sockets:
        if isinstance(socket, Recipient):
            recipient: Recipient = socket
            recipient._take(packet, flags)
        else:
            socket.send_encoded(packet, flags)
