"""Messages made ahead of time: what a client sends, and byte for byte what must come back.

Comparing with what is expected costs little and finds every wrong byte; only what differs is decoded. Over
WebSocket a read that is whole replies is compared as it came, frames and all.
Incoming messages are pairs: (opcode, payload) over WebSocket, (Engine.IO type, data) over polling.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from fastsio._codec import EncodedPacket, encode_ack, encode_event
from fastsio._frames import OP_BINARY, OP_TEXT, build_frame

__all__ = ["EnginePacket", "Message", "Ring", "Value", "Wire", "payload"]

Value: TypeAlias = "str | bytes"
#: As it came in.
Message: TypeAlias = "tuple[int | None, str | bytes | None]"
EnginePacket: TypeAlias = "tuple[int, str | bytes | None]"

MESSAGE = 4

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_BYTES = bytes(range(256))

# Message numbers are eight digits; ids are numbers of one length too, so that frames are.
_FIRST_ID = 10_000_000
# A ring should stay in the processor's cache if it can.
_RING_BYTES = 4 << 20
_RING_LENGTH = 1024


def payload(head: str, size: int, binary: bool, turn: int) -> Value:
    """A value of ``size`` characters or bytes (or as long as ``head``, which it begins with).

    What follows differs from one ``turn`` to the next.
    """
    rest = max(size - len(head), 0)
    pattern = _BYTES if binary else _LETTERS.encode()
    start = turn % len(pattern)
    filler = (pattern * (rest // len(pattern) + 2))[start : start + rest]
    raw = head.encode() + filler
    return raw if binary else raw.decode()


def is_binary(number: int, share: float) -> bool:
    """Whether message ``number`` is one of the binary ones, which are spread evenly."""
    return int((number + 1) * share) > int(number * share)


class Wire:
    """How packets look on one transport in one protocol."""

    __slots__ = ("polling", "prefix", "protocol")

    def __init__(self, transport: str, protocol: int) -> None:
        self.polling = transport == "polling"
        self.protocol = protocol
        self.prefix = b"\x04" if protocol == 3 else b""

    def frames(self, packet: EncodedPacket) -> bytes:
        """The masked WebSocket frames of a client's packet."""
        parts = [build_frame(OP_TEXT, b"4" + packet.text, mask=os.urandom(4))]
        parts += [
            build_frame(OP_BINARY, self.prefix + attachment, mask=os.urandom(4))
            for attachment in packet.attachments
        ]
        return b"".join(parts)

    def incoming(self, packet: EncodedPacket) -> list[Message]:
        """The messages in which the server's packet arrives."""
        if self.polling:
            return list(packet.messages())
        return [
            (OP_TEXT, b"4" + packet.text),
            *[(OP_BINARY, self.prefix + attachment) for attachment in packet.attachments],
        ]

    def incoming_frames(self, messages: Iterable[Message]) -> bytes:
        """The WebSocket frames in which the server's messages arrive, unless it chooses others."""
        return b"".join(
            build_frame(opcode, data)
            for opcode, data in messages
            if opcode is not None and isinstance(data, bytes)
        )

    def unpack(self, message: Message) -> Message:
        """The Engine.IO packet that a message holds: type and data; type None is one to ignore."""
        if self.polling:
            return message
        opcode, data = message
        assert isinstance(data, bytes)
        if opcode == OP_TEXT:
            return (data[0] - 48 if data else -1), data[1:].decode()
        if self.protocol == 3:
            # An unknown type byte is ignored, as the reference client does.
            return (MESSAGE, data[1:]) if data[:1] == b"\x04" else (None, None)
        return MESSAGE, data


class Ring:
    """Numbered requests that come round again, and their replies.

    ``expect`` lists the messages of all replies; ``ends[i]`` is true for the last of a reply, ``owner[i]``
    is the number of the request, ``starts[n]`` the place of its first message.
    """

    __slots__ = (
        "_offsets",
        "_packets",
        "_replies",
        "_reply_numbers",
        "_reply_offsets",
        "_requests",
        "acks",
        "ends",
        "expect",
        "length",
        "owner",
        "starts",
        "values",
    )

    def __init__(
        self, wire: Wire, *, acks: bool, namespace: str, size: int, binary: float, in_flight: int
    ) -> None:
        self.acks = acks
        wanted = max(in_flight * 4, min(_RING_LENGTH, _RING_BYTES // size), 16)
        self.length = 1 << (wanted - 1).bit_length()
        self.values: list[Value] = []
        self.expect: list[Message] = []
        self.ends: list[bool] = []
        self.owner: list[int] = []
        self.starts: list[int] = []
        self._packets: list[Sequence[EnginePacket]] = []
        frames: list[bytes] = []
        replies: list[bytes] = []
        event = "ack" if acks else "echo"
        for number in range(self.length):
            value = payload(f"{number:08d}", size, is_binary(number, binary), number * 7)
            ack_id = _FIRST_ID + number if acks else None
            request = encode_event((event, value), namespace, ack_id)
            reply = (
                encode_event((event, value), namespace)
                if ack_id is None
                else encode_ack((value,), namespace, ack_id)
            )
            messages = wire.incoming(reply)
            self.values.append(value)
            self.starts.append(len(self.expect))
            self.expect += messages
            self.ends += [False] * (len(messages) - 1) + [True]
            self.owner += [number] * len(messages)
            if wire.polling:
                self._packets.append(request.messages())
            else:
                frames.append(wire.frames(request))
                replies.append(wire.incoming_frames(messages))
        # A second lap, as far as one write can reach, so that a run of requests is always one slice.
        self._requests, self._offsets = _join(frames + frames[:in_flight])
        self._replies, self._reply_offsets = _join(replies + replies[:in_flight])
        self._reply_numbers = {offset: number for number, offset in enumerate(self._reply_offsets)}

    def frames(self, first: int, count: int) -> bytes:
        """The WebSocket frames of ``count`` requests, no more than ``in_flight``."""
        return self._requests[self._offsets[first] : self._offsets[first + count]]

    def count_replies(self, first: int, data: bytes) -> int:
        """How many replies, from the one to request ``first`` on, ``data`` is as WebSocket frames; 0 if it is
        anything else."""
        start = self._reply_offsets[first]
        behind = self._reply_numbers.get(start + len(data))
        if behind is None or not self._replies.startswith(data, start):
            return 0
        return behind - first

    def packets(self, first: int, count: int) -> list[EnginePacket]:
        """The Engine.IO packets of ``count`` requests."""
        return [
            packet
            for turn in range(first, first + count)
            for packet in self._packets[turn & (self.length - 1)]
        ]

    def find(self, value: object, ack_id: int | None) -> int | None:
        """The number of the request that has this very value (and this ack id), None if none has."""
        if not isinstance(value, (str, bytes)):
            return None
        digits = value[:8]
        if not digits.isdigit():
            return None
        number = int(digits)
        if number >= self.length or self.values[number] != value:
            return None
        if ack_id is not None and ack_id != _FIRST_ID + number:
            return None
        return number


def _join(parts: list[bytes]) -> tuple[bytes, list[int]]:
    """All parts in one piece, and where in it each begins and the last ends."""
    offsets = [0]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return b"".join(parts), offsets
