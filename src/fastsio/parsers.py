"""Parsers: how packets become messages, and messages packets again.

The default writes JSON and binary attachments. Another one is an object with two members, as in Node:

* ``Encoder``: called without arguments, gives something with ``encode(packet)``, whose result are the
  messages of the packet in order, each ``str`` or ``bytes``. One encoder serves all connections.
* ``Decoder``: called for each connection, gives something with ``add(message)``, whose result is the packet
  that the message completes, None as long as more is to come, or a list of packets. It raises on invalid
  input.

``fastsio.msgpack`` is such an object.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from fastsio import msgpack
from fastsio._codec import (
    Decoder,
    EncodedPacket,
    Packet,
    PacketType,
    assemble,
    check_payload,
    encode_ack,
    encode_event,
    encode_packet,
    encoded_messages,
)
from fastsio.exceptions import OptionError, PacketError

__all__ = [
    "CustomDecoder",
    "JSONParser",
    "PacketDecoder",
    "PacketEncoder",
    "Parser",
    "Wire",
    "buffers_as_json",
    "make_wire",
]


class PacketEncoder(Protocol):
    """Makes messages of packets."""

    def encode(self, packet: Packet, /) -> Iterable[str | bytes]:
        """The messages of a packet, in order."""
        ...


class PacketDecoder(Protocol):
    """Makes packets of the messages of one connection."""

    def add(self, message: Any, /) -> Packet | list[Packet] | None:
        """Take a message, ``str`` or ``bytes``; what it completes. Raises on invalid input."""
        ...


class Parser(Protocol):
    """What the option ``parser`` takes: a class, an instance or a module with these members."""

    @property
    def Encoder(self) -> Callable[[], PacketEncoder]: ...
    @property
    def Decoder(self) -> Callable[[], PacketDecoder]: ...


class JSONParser:
    """The default's format with another JSON library.

    >>> import json
    >>> parser = JSONParser(dumps=json.dumps, loads=json.loads)

    :param dumps: gives the JSON of a value as ``str`` or ``bytes``. Bytes have been taken out of the value;
        whatever else it raises for keeps the packet from being sent.
    :param loads: gives the value of a JSON text, a ``str``. Whatever it raises ends the connection.
    """

    def __init__(
        self, dumps: Callable[[Any], str | bytes] | None = None, loads: Callable[[str], Any] | None = None
    ) -> None:
        for name, value in (("dumps", dumps), ("loads", loads)):
            if value is not None and not callable(value):
                raise TypeError(f"{name} must be callable, not {type(value).__name__}")
        self.dumps = dumps
        self.loads = loads

    def Encoder(self) -> PacketEncoder:
        """An encoder of protocol 5."""
        return _JSONEncoder(_JSONWire(self))

    def Decoder(self) -> PacketDecoder:
        """A decoder of protocol 5."""
        return Decoder(loads=self.loads)


class _JSONEncoder:
    """A wire as an encoder."""

    __slots__ = ("_wire",)

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def encode(self, packet: Packet) -> list[str | bytes]:
        return [data for _, data in self._wire.packet(packet, 5).messages()]


class Wire:
    """How one server or client writes and reads packets; as such, the default."""

    event = staticmethod(encode_event)
    ack = staticmethod(encode_ack)

    def packet(self, packet: Packet, protocol: int) -> EncodedPacket:
        """Any packet, for Socket.IO protocol 4 or 5.

        :raises PacketError: for a value that cannot be sent.
        """
        return encode_packet(packet, protocol)

    def decoder(self, protocol: int, max_attachments: int, max_bytes: int) -> Decoder | CustomDecoder:
        """A decoder for one connection."""
        return Decoder(protocol, max_attachments, max_bytes)


class _JSONWire(Wire):
    """The default's format with another JSON library."""

    def __init__(self, parser: JSONParser) -> None:
        self._loads = parser.loads
        self._dumps = parser.dumps
        if parser.dumps is not None:
            self.event = self._event
            self.ack = self._ack

    def _event(self, args: tuple[Any, ...], namespace: str = "/", id: int | None = None) -> EncodedPacket:
        return self._encode(PacketType.EVENT, namespace, id, args, args)

    def _ack(self, args: tuple[Any, ...] | list[Any], namespace: str, id: int) -> EncodedPacket:
        return self._encode(PacketType.ACK, namespace, id, args)

    def packet(self, packet: Packet, protocol: int) -> EncodedPacket:
        if self._dumps is None:
            return encode_packet(packet, protocol)
        return self._encode(packet.type, packet.namespace, packet.id, packet.data)

    def _encode(
        self, type: int, namespace: str, id: int | None, data: Any, event: tuple[Any, ...] | None = None
    ) -> EncodedPacket:
        assert self._dumps is not None
        found: list[bytes] = []
        payload: str | bytes | None = None
        try:
            if data is not None:
                payload = self._dumps(_take_out(data, found))
            if isinstance(payload, str):
                payload = payload.encode()
        except Exception as error:
            raise PacketError(f"cannot encode packet: {error}") from error
        return assemble(type, namespace, id, payload, found, event)

    def decoder(self, protocol: int, max_attachments: int, max_bytes: int) -> Decoder:
        return Decoder(protocol, max_attachments, max_bytes, self._loads)


def _take_out(value: Any, found: list[bytes]) -> Any:
    """A copy of a value with placeholders for the bytes in it, which go to ``found``."""
    if isinstance(value, bytes | bytearray | memoryview | array):
        found.append(bytes(value))
        return {"_placeholder": True, "num": len(found) - 1}
    if isinstance(value, dict):
        return {key: _take_out(item, found) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_take_out(item, found) for item in value]
    return value


def buffers_as_json(value: Any) -> Any:
    """``value`` with its bytes as Node prints a Buffer in JSON."""
    if isinstance(value, bytes | bytearray | memoryview):
        return {"type": "Buffer", "data": list(value)}
    if isinstance(value, list | tuple):
        return [buffers_as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: buffers_as_json(item) for key, item in value.items()}
    return value


class _CustomWire(Wire):
    """Whatever the application's parser does."""

    def __init__(self, parser: Parser) -> None:
        self._parser = parser
        self._encoder = parser.Encoder()
        self.event = self._event
        self.ack = self._ack

    def _event(self, args: tuple[Any, ...], namespace: str = "/", id: int | None = None) -> EncodedPacket:
        return self._encode(Packet(PacketType.EVENT, namespace, list(args), id), args)

    def _ack(self, args: tuple[Any, ...] | list[Any], namespace: str, id: int) -> EncodedPacket:
        return self.packet(Packet(PacketType.ACK, namespace, list(args), id), 5)

    def packet(self, packet: Packet, protocol: int) -> EncodedPacket:
        return self._encode(packet)

    def _encode(self, packet: Packet, event: tuple[Any, ...] | None = None) -> EncodedPacket:
        try:
            messages = self._encoder.encode(packet)
            single = isinstance(messages, str | bytes | bytearray | memoryview)
            return encoded_messages([messages] if single else list(messages), event)
        except PacketError:
            raise
        except Exception as error:
            raise PacketError(f"the parser cannot encode a packet: {error!r}") from error

    def decoder(self, protocol: int, max_attachments: int, max_bytes: int) -> CustomDecoder:
        return CustomDecoder(self._parser.Decoder(), protocol)


class CustomDecoder:
    """An application's decoder, whose results are looked at as closely as the default's."""

    __slots__ = ("_decoder", "_protocol")

    def __init__(self, decoder: PacketDecoder, protocol: int) -> None:
        self._decoder = decoder
        self._protocol = protocol

    def add(self, message: str | bytes) -> list[Packet]:
        """The packets that a message completes.

        :raises PacketError: for whatever the decoder raises, and for what is no packet.
        """
        try:
            result = self._decoder.add(message)
            packets = [result] if isinstance(result, Packet) else list(result or ())
        except PacketError:
            raise
        except Exception as error:
            raise PacketError(f"the parser cannot decode a message: {error!r}") from error
        for packet in packets:
            if not isinstance(packet, Packet):
                raise PacketError(f"the parser gave {type(packet).__name__} instead of a Packet")
            check_payload(packet, self._protocol)
        return packets

    def add_text(self, data: bytes, offset: int = 0) -> list[Packet]:
        """The same for a text message as UTF-8 that begins at ``offset`` of ``data``."""
        return self.add(data[offset:].decode())


def make_wire(parser: Any) -> Wire:
    """What the option ``parser`` stands for: None is the default, ``"msgpack"`` the module of that name.

    :raises OptionError: for anything that is not a parser.
    """
    if parser is None:
        return Wire()
    if isinstance(parser, JSONParser):
        return _JSONWire(parser)
    if parser == "msgpack":
        return _CustomWire(msgpack)
    if not (callable(getattr(parser, "Encoder", None)) and callable(getattr(parser, "Decoder", None))):
        raise OptionError(
            f'option parser takes None, "msgpack" or an object with Encoder and Decoder, not {parser!r}'
        )
    return _CustomWire(parser)
