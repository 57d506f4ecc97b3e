"""How a client writes and reads packets: JSON, or a parser of the application's choice."""

from __future__ import annotations

from typing import Any

from fastsio import msgpack
from fastsio._codec import (
    Decoder,
    EncodedPacket,
    Packet,
    PacketType,
    encode_ack,
    encode_event,
    encode_packet,
)
from fastsio.client.options import ClientOptions
from fastsio.exceptions import PacketError

__all__ = ["CustomParser", "JsonParser", "Parser", "make_parser"]


class JsonParser:
    """The default: JSON text and binary attachments."""

    def __init__(self, protocol: int, max_attachments: int, max_bytes: int) -> None:
        self._protocol = protocol
        self._decoder = Decoder(protocol, max_attachments, max_bytes)
        # The hot path, without a call in between.
        self.add_text = self._decoder.add_text
        self.event = encode_event

    def ack(self, args: tuple[Any, ...], namespace: str, id: int) -> EncodedPacket:
        """An acknowledgement."""
        return encode_ack(args, namespace, id)

    def packet(self, packet: Packet) -> EncodedPacket:
        """Any packet."""
        return encode_packet(packet, self._protocol)

    def add(self, data: str | bytes) -> Packet | None:
        """A message received; the packet, once it is complete."""
        return self._decoder.add(data)

    def reset(self) -> None:
        """Forget a packet whose attachments never came."""
        self._decoder.reset()


class _OneMessage:
    """What a custom parser made of a packet, with the face of an :class:`EncodedPacket`."""

    __slots__ = ("attachments", "text")

    def __init__(self, data: bytes) -> None:
        self.text = b""
        self.attachments = (data,)

    def messages(self) -> list[tuple[int, str | bytes]]:
        return [(4, self.attachments[0])]


class CustomParser:
    """One binary message per packet, written and read by the application's parser.

    :param parser: has ``encode(packet)`` giving bytes and ``decode(bytes)`` giving a packet.
    """

    def __init__(self, parser: Any) -> None:
        self._parser = parser

    def event(self, args: tuple[Any, ...], namespace: str = "/", id: int | None = None) -> EncodedPacket:
        """An event."""
        return self.packet(Packet(PacketType.EVENT, namespace, list(args), id))

    def ack(self, args: tuple[Any, ...], namespace: str, id: int) -> EncodedPacket:
        """An acknowledgement."""
        return self.packet(Packet(PacketType.ACK, namespace, list(args), id))

    def packet(self, packet: Packet) -> EncodedPacket:
        """Any packet."""
        return _OneMessage(self._parser.encode(packet))  # type: ignore[return-value]

    def add_text(self, data: bytes, offset: int = 0) -> Packet | None:
        """A text message received."""
        return self.add(data[offset:].decode())

    def add(self, data: str | bytes) -> Packet | None:
        """A message received."""
        if isinstance(data, str):
            raise PacketError(f"a text message where the parser takes binary: {data[:40]!r}")
        packet = self._parser.decode(data)
        if not isinstance(packet, Packet):
            raise PacketError(f"the parser gave {type(packet).__name__} instead of a Packet")
        return packet

    def reset(self) -> None:
        """Nothing is kept between messages."""


Parser = JsonParser | CustomParser


def make_parser(options: ClientOptions) -> Parser:
    """The parser that the options ask for."""
    if options.parser is None:
        protocol = 5 if options.protocol == 4 else 4
        return JsonParser(protocol, options.max_attachments, options.max_message_size)
    return CustomParser(msgpack if options.parser == "msgpack" else options.parser)
