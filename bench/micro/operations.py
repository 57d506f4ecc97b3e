"""What bench/micro times: each operation with its input, its right result, and every way of doing it.

All ways of an operation get the same input (as bytes or str, whichever their server would hand them) and must
give the same result, which `Way.check` proves before anything is timed. Objects that a server keeps per
connection (parsers, decoders) are made once; objects that it makes per packet are made within the timed call.

The floor of an operation is what any implementation on this interpreter must at least do: orjson with the
same array (without type digit, namespace, id and attachments), or calling the listeners without an emitter.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from orjson import dumps, loads
from rivals import Rivals

from fastsio._codec import Decoder, Packet, PacketType, encode, encode_ack, encode_event, encode_packet
from fastsio._emitter import EventEmitter
from fastsio._frames import OP_BINARY, OP_TEXT, FrameParser, apply_mask, build_frame
from fastsio._payload import decode_payload, encode_payload

FASTSIO = "fastsio"
FLOOR = "floor"
SOCKETIO = "python-socketio"
ENGINEIO = "python-engineio"
ENGINEIO3 = "python-engineio 3"
WSPROTO = "wsproto"
WEBSOCKETS = "websockets"
PYEE = "pyee"


@dataclass(frozen=True)
class Way:
    """One way of doing an operation."""

    name: str
    run: Callable[[], Any]
    view: Callable[[Any], Any]  # the result of run in the form that all ways of the operation share

    def check(self, expected: Any) -> None:
        """Raise AssertionError unless it gives the expected result, at the first call and at later ones."""
        for _ in range(3):
            result = self.view(self.run())
            if result != expected:
                raise AssertionError(f"{self.name}: {result!r:.300} instead of {expected!r:.300}")


@dataclass(frozen=True)
class Operation:
    """One line of the table. `units` is how many of what is being measured one call does."""

    group: str
    name: str
    expected: Any
    ways: tuple[Way, ...]
    units: int = 1


# -- inputs ------------------------------------------------------------------------------------------------

TEXT32 = "the quick brown fox jumps; again"
SID = "lv_VI97HAXpY6yYWAAAC"
KIB = bytes(range(256)) * 4
MASK = b"\x37\xfa\x21\x3d"

SMALL = ["message", TEXT32]
CHAT = ["chat", {"user": "alice", "text": "hello everybody", "ts": 1_700_000_000_123}]
DICTS = [
    "order",
    {"id": 18_204, "customer": "Alice Example", "paid": True, "note": None},
    {"sku": "A-100-2", "price": 19.95, "quantity": 3, "tags": ["gift", "blue", "large"]},
    {"street": "1 Main Street", "city": "Springfield", "zip": "12345", "geo": {"lat": 44.05, "lon": -123.02}},
]
ATTACHED = ["upload", {"name": "cat.png", "data": KIB}, KIB[::-1]]
ACKED = ["ok", {"stored": 42}]
EVENT_ID = 7


def split(value: Any) -> tuple[Any, list[bytes]]:
    """The JSON of a value with placeholders for its bytes, and these bytes."""
    attachments: list[bytes] = []

    def walk(value: Any) -> Any:
        if isinstance(value, bytes):
            attachments.append(value)
            return {"_placeholder": True, "num": len(attachments) - 1}
        if isinstance(value, list):
            return [walk(item) for item in value]
        if isinstance(value, dict):
            return {key: walk(item) for key, item in value.items()}
        return value

    return walk(value), attachments


def nested(depth: int, leaves: int) -> list[Any]:
    """An event whose argument holds `leaves` attachments of 16 bytes, each `depth` containers down."""

    def branch(number: int) -> Any:
        value: Any = bytes([number]) * 16
        for level in range(depth - 1):
            value = [value, level] if level % 2 else {"child": value, "level": level}
        return value

    return ["tree", [branch(number) for number in range(leaves)]]


def masked(opcode: int, payload: bytes) -> bytes:
    return build_frame(opcode, payload, mask=MASK)


def same(value: Any) -> Any:
    return value


# -- packets -----------------------------------------------------------------------------------------------

PACKETS = (
    ("small text event", PacketType.EVENT, SMALL, None),
    ("chat event, one dict", PacketType.EVENT, CHAT, None),
    ("event, 3 dicts", PacketType.EVENT, DICTS, None),
    ("event, 2 attachments of 1 KiB", PacketType.EVENT, ATTACHED, None),
    ("ack", PacketType.ACK, ACKED, EVENT_ID),
    ("CONNECT", PacketType.CONNECT, {"sid": SID}, None),
)


def wire(type: int, data: Any, id: int | None) -> list[Any]:
    """The messages of a packet, put together by hand: the right result of encoding it."""
    plain, attachments = split(data)
    head = f"{type + 3}{len(attachments)}-" if attachments else f"{int(type)}"
    return [head + ("" if id is None else str(id)) + dumps(plain).decode(), *attachments]


def encoding(rivals: Rivals) -> Iterator[Operation]:
    for label, type, data, id in PACKETS:
        expected = wire(type, data, id)
        attachments = expected[1:]
        plain = split(data)[0]
        head = expected[0][: -len(dumps(plain))]
        ways = [
            _encode_compiled(type, data, id),
            Way(
                FLOOR,
                lambda p=plain: dumps(p),
                lambda r, h=head, a=attachments: [h + r.decode(), *a],
            ),
        ]
        if rivals.socketio_packet:
            ways.append(_encode_socketio(rivals.socketio_packet, type, data, id))
        yield Operation("encode", label, expected, tuple(ways))

    ways = [
        Way(FASTSIO, lambda: encode(Packet(PacketType.EVENT, "/", SMALL)), same),
        Way(FLOOR, lambda: dumps(SMALL), lambda r: ["2" + r.decode()]),
    ]
    if rivals.socketio_packet:
        ways.append(_encode_socketio(rivals.socketio_packet, PacketType.EVENT, SMALL, None))
    yield Operation(
        "encode", "small text event, to str (public API)", wire(PacketType.EVENT, SMALL, None), tuple(ways)
    )


def _encode_compiled(type: PacketType, data: Any, id: int | None) -> Way:
    def view(encoded: Any) -> list[Any]:
        return [encoded.text.decode(), *encoded.attachments]

    if type == PacketType.EVENT:
        arguments = tuple(data)
        return Way(FASTSIO, lambda: encode_event(arguments), view)
    if type == PacketType.ACK:
        return Way(FASTSIO, lambda: encode_ack(data, "/", id), view)
    return Way(FASTSIO, lambda: encode_packet(Packet(type, "/", data)), view)


def _encode_socketio(module: Any, type: int, data: Any, id: int | None) -> Way:
    number = int(type)

    def run() -> Any:
        return module.Packet(number, data=data, namespace="/", id=id).encode()

    return Way(SOCKETIO, run, lambda result: result if isinstance(result, list) else [result])


def decoding(rivals: Rivals) -> Iterator[Operation]:
    for label, type, data, id in PACKETS:
        yield _decode(rivals, "decode", label, type, data, id)

    text = wire(PacketType.EVENT, SMALL, None)[0]
    decoder = Decoder()
    ways = [
        Way(FASTSIO, lambda: decoder.add(text), _seen),
        Way(FLOOR, lambda rest=text[1:]: loads(rest), lambda r: (PacketType.EVENT, None, r)),
    ]
    if rivals.socketio_packet:
        ways.append(_decode_socketio(rivals.socketio_packet, text, []))
    yield Operation(
        "decode", "small text event, from str (public API)", (PacketType.EVENT, None, SMALL), tuple(ways)
    )


def reconstruction(rivals: Rivals) -> Iterator[Operation]:
    for depth, leaves in ((1, 10), (10, 10), (100, 1), (100, 10)):
        name = f"{leaves} attachment{'s' * (leaves > 1)} at depth {depth}"
        yield _decode(rivals, "reconstruct", name, PacketType.EVENT, nested(depth, leaves), None)


def _seen(packet: Packet) -> tuple[int, int | None, Any]:
    return int(packet.type), packet.id, packet.data


def _decode(rivals: Rivals, group: str, name: str, type: PacketType, data: Any, id: int | None) -> Operation:
    text, *attachments = wire(type, data, id)
    raw = text.encode()
    plain, _ = split(data)
    json = dumps(plain)
    expected = (int(type), id, data)
    decoder = Decoder()

    def run() -> Any:
        packet = decoder.add_text(raw)
        for attachment in attachments:
            packet = decoder.add_binary(attachment)
        return packet

    ways = [
        Way(FASTSIO, run if attachments else lambda: decoder.add_text(raw), _seen),
        # Its result has placeholders where the packet has attachments.
        Way(FLOOR, lambda: loads(json), lambda r: expected if r == plain else r),
    ]
    if rivals.socketio_packet:
        ways.append(_decode_socketio(rivals.socketio_packet, text, attachments))
    return Operation(group, name, expected, tuple(ways))


def _decode_socketio(module: Any, text: str, attachments: list[bytes]) -> Way:
    def run() -> Any:
        packet = module.Packet(encoded_packet=text)
        for attachment in attachments:
            packet.add_attachment(attachment)
        return packet

    return Way(SOCKETIO, run, _seen_socketio)


def _seen_socketio(packet: Any) -> tuple[int, int | None, Any]:
    # fastsio reports a binary event as an event.
    return packet.packet_type - 3 * bool(packet.attachment_count), packet.id, packet.data


# -- from arguments to a frame and back --------------------------------------------------------------------


def whole_path(rivals: Rivals) -> Iterator[Operation]:
    message = ("4" + wire(PacketType.EVENT, SMALL, None)[0]).encode()
    arguments = tuple(SMALL)
    ways = [
        Way(FASTSIO, lambda: encode_event(arguments).frames(4), same),
        Way(
            FLOOR,
            lambda: dumps(SMALL),
            lambda r: build_frame(OP_TEXT, b"42" + r),
        ),
    ]
    if rivals.socketio_packet and rivals.engineio_packet:
        for name, build in _frame_builders(rivals, OP_TEXT):
            ways.append(_send(rivals, name, build))
    yield Operation("event to frame", "small text event", build_frame(OP_TEXT, message), tuple(ways))

    data = masked(OP_TEXT, message)
    parser, decoder = FrameParser(), Decoder()

    def run() -> Any:
        for _, payload in parser.feed(data):
            packet = decoder.add_text(payload, 1)
        return packet

    json = dumps(SMALL)
    expected = (PacketType.EVENT, None, SMALL)
    ways = [
        Way(FASTSIO, run, _seen),
        Way(FLOOR, lambda: loads(json), lambda r: (PacketType.EVENT, None, r)),
    ]
    if rivals.socketio_packet and rivals.engineio_packet:
        for name, parse in _text_parsers(rivals):
            ways.append(_receive(rivals, name, parse, data))
    yield Operation("frame to event", "small text event, masked", expected, tuple(ways))


def _send(rivals: Rivals, name: str, build: Callable[[Any], bytes]) -> Way:
    socketio, engineio = rivals.socketio_packet, rivals.engineio_packet

    def run() -> bytes:
        text = socketio.Packet(socketio.EVENT, data=SMALL, namespace="/").encode()
        return build(engineio.Packet(engineio.MESSAGE, data=text).encode())

    return Way(f"{SOCKETIO} + {name}", run, same)


def _receive(rivals: Rivals, name: str, parse: Callable[[bytes], Any], data: bytes) -> Way:
    socketio, engineio = rivals.socketio_packet, rivals.engineio_packet

    def run() -> Any:
        for text in parse(data):
            packet = socketio.Packet(encoded_packet=engineio.Packet(encoded_packet=text).data)
        return packet

    return Way(f"{SOCKETIO} + {name}", run, _seen_socketio)


# -- frames ------------------------------------------------------------------------------------------------

SIZES = (("32 B", 32), ("1 KiB", 1024), ("64 KiB", 65536))
PER_READ = (1, 100)


def frames(rivals: Rivals) -> Iterator[Operation]:
    for (label, size), count in itertools.product(SIZES, PER_READ):
        payload = (TEXT32.encode() * (size // 32))[:size]
        data = masked(OP_TEXT, payload) * count
        expected = [(OP_TEXT, payload)] * count
        parser = FrameParser()
        ways = [Way(FASTSIO, lambda p=parser, d=data: p.feed(d), same)]
        for name, parse, view in _frame_parsers(rivals):
            ways.append(Way(name, lambda p=parse, d=data: p(d), view))
        yield Operation(
            "parse frame", f"{label} masked text, {count} per read", expected, tuple(ways), units=count
        )
    # The lengths as RFC 6455, section 5.2, writes them.
    for (label, size), length in zip(
        SIZES, (b"\x20", b"\x7e\x04\x00", b"\x7f" + (65536).to_bytes(8, "big")), strict=True
    ):
        payload = (KIB * 64)[:size]
        ways = [Way(FASTSIO, lambda p=payload: build_frame(OP_BINARY, p), same)]
        for name, build in _frame_builders(rivals, OP_BINARY):
            ways.append(Way(name, lambda b=build, p=payload: b(p), same))
        yield Operation("build frame", f"{label} binary", b"\x82" + length + payload, tuple(ways))
    for label, size in SIZES[1:]:
        payload = (KIB * 64)[:size]
        expected = bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))
        ways = [Way(FASTSIO, lambda p=payload: apply_mask(p, MASK), same)]
        if rivals.websockets_frames:
            apply = rivals.websockets_frames.apply_mask
            ways.append(Way(WEBSOCKETS, lambda a=apply, p=payload: a(p, MASK), same))
        yield Operation("mask", label, expected, tuple(ways))


def _frame_parsers(rivals: Rivals) -> Iterator[tuple[str, Callable[[bytes], Any], Callable[[Any], Any]]]:
    """Each rival's parser of a server's side of a connection, and the view of what it gives."""
    if rivals.websockets_protocol:
        module = rivals.websockets_protocol
        protocol = module.Protocol(module.Side.SERVER)

        def parse(data: bytes) -> Any:
            protocol.receive_data(data)
            return protocol.events_received()

        yield WEBSOCKETS, parse, lambda found: [(int(frame.opcode), bytes(frame.data)) for frame in found]
    if rivals.wsproto:
        connection = rivals.wsproto.Connection(rivals.wsproto.ConnectionType.SERVER)

        def parse_events(data: bytes) -> Any:
            connection.receive_data(data)
            return list(connection.events())

        yield WSPROTO, parse_events, lambda found: [(OP_TEXT, event.data.encode()) for event in found]


def _text_parsers(rivals: Rivals) -> Iterator[tuple[str, Callable[[bytes], list[str]]]]:
    """The same parsers, giving what an application gets: the text of each message."""
    for name, parse, _ in _frame_parsers(rivals):
        if name == WEBSOCKETS:
            yield name, lambda data, parse=parse: [frame.data.decode() for frame in parse(data)]
        else:
            yield name, lambda data, parse=parse: [event.data for event in parse(data)]


def _frame_builders(rivals: Rivals, opcode: int) -> Iterator[tuple[str, Callable[[Any], bytes]]]:
    if rivals.websockets_protocol:
        module = rivals.websockets_protocol
        protocol = module.Protocol(module.Side.SERVER)

        def build(message: Any) -> bytes:
            if opcode == OP_TEXT:
                protocol.send_text(message.encode())
            else:
                protocol.send_binary(message)
            return b"".join(protocol.data_to_send())

        yield WEBSOCKETS, build
    if rivals.wsproto:
        connection = rivals.wsproto.Connection(rivals.wsproto.ConnectionType.SERVER)
        event = rivals.wsproto_events.TextMessage if opcode == OP_TEXT else rivals.wsproto_events.BytesMessage
        yield WSPROTO, lambda message: connection.send(event(message))


# -- polling payloads --------------------------------------------------------------------------------------

MESSAGE = 4
TEXTS = [(MESSAGE, f'2["message","{TEXT32}"]')] * 10
MIXED = [*TEXTS[:8], (MESSAGE, KIB), (MESSAGE, KIB[::-1])]


def payloads(rivals: Rivals) -> Iterator[Operation]:
    for protocol, form, binary, packets in (
        (4, "10 text packets", False, TEXTS),
        (4, "8 text, 2 × 1 KiB in base64", False, MIXED),
        (3, "10 text packets", False, TEXTS),
        (3, "8 text, 2 × 1 KiB binary", True, MIXED),
    ):
        body = payload(packets, protocol, binary)
        if protocol == 4:
            module = (rivals.engineio_payload, rivals.engineio_packet)
        else:
            module = (rivals.engineio3_payload, rivals.engineio3_packet)
        ways = [Way(FASTSIO, lambda p=packets, v=protocol, b=binary: encode_payload(p, v, b), same)]
        back = [Way(FASTSIO, lambda t=body, v=protocol, b=binary: decode_payload(t, v, b), same)]
        if all(module):
            maker = _encode_payload4 if protocol == 4 else _encode_payload3
            ways.append(maker(*module, packets, binary))
            back.append(_decode_payload(module[0], body, protocol))
        yield Operation("encode payload", f"protocol {protocol}, {form}", body, tuple(ways))
        yield Operation("decode payload", f"protocol {protocol}, {form}", packets, tuple(back))


def payload(packets: list[tuple[int, Any]], protocol: int, binary: bool) -> bytes:
    """The right result of encoding a payload, put together by hand."""
    if protocol == 4:
        return b"\x1e".join(
            b"b" + base64.b64encode(data) if isinstance(data, bytes) else f"{type}{data}".encode()
            for type, data in packets
        )
    if not binary:
        return "".join(f"{len(data) + 1}:{type}{data}" for type, data in packets).encode()
    result = b""
    for type, data in packets:
        raw = isinstance(data, bytes)
        element = bytes([type]) + data if raw else f"{type}{data}".encode()
        result += bytes([raw, *(int(digit) for digit in str(len(element))), 255]) + element
    return result


def _encode_payload4(payload: Any, packet: Any, packets: list[tuple[int, Any]], binary: bool) -> Way:
    def run() -> bytes:
        made = [packet.Packet(type, data=data) for type, data in packets]
        return payload.Payload(packets=made).encode().encode()

    return Way(ENGINEIO, run, same)


def _encode_payload3(payload: Any, packet: Any, packets: list[tuple[int, Any]], binary: bool) -> Way:
    def run() -> bytes:
        made = [packet.Packet(type, data=data) for type, data in packets]
        return payload.Payload(packets=made).encode(b64=not binary)

    return Way(ENGINEIO3, run, same)


def _decode_payload(payload: Any, body: bytes, protocol: int) -> Way:
    def run() -> Any:
        text = body.decode() if protocol == 4 else body
        return payload.Payload(encoded_payload=text).packets

    def view(packets: Any) -> list[tuple[int, Any]]:
        return [(packet.packet_type, packet.data) for packet in packets]

    return Way(ENGINEIO if protocol == 4 else ENGINEIO3, run, view)


# -- emitter -----------------------------------------------------------------------------------------------


def emitters(rivals: Rivals) -> Iterator[Operation]:
    for count in (1, 10):
        expected = [(TEXT32, 5)] * count
        own, seen = _listeners(count)
        emitter = EventEmitter()
        for listener in own:
            emitter.on("message", listener)
        ways = [Way(FASTSIO, lambda e=emitter: e.emit("message", TEXT32, 5), lambda _, s=seen: drain(s))]
        if rivals.pyee:
            own, seen = _listeners(count)
            rival = rivals.pyee.EventEmitter()
            for listener in own:
                rival.add_listener("message", listener)
            ways.append(Way(PYEE, lambda e=rival: e.emit("message", TEXT32, 5), lambda _, s=seen: drain(s)))
        own, seen = _listeners(count)
        ways.append(Way(FLOOR, _loop(tuple(own)), lambda _, s=seen: drain(s)))
        yield Operation("emitter", f"emit to {count} listener{'s' * (count > 1)}", expected, tuple(ways))


def _listeners(count: int) -> tuple[list[Callable[[str, int], None]], list[Any]]:
    """Listeners that leave what they got last in their place of a list."""
    seen: list[Any] = [None] * count

    def make(number: int) -> Callable[[str, int], None]:
        def listener(text: str, n: int) -> None:
            seen[number] = (text, n)

        return listener

    return [make(number) for number in range(count)], seen


def _loop(listeners: tuple[Callable[[str, int], None], ...]) -> Callable[[], None]:
    def run() -> None:
        for listener in listeners:
            listener(TEXT32, 5)

    return run


def drain(seen: list[Any]) -> list[Any]:
    """What the listeners left, which is forgotten, so that the next check sees only the next call."""
    found = list(seen)
    seen[:] = [None] * len(seen)
    return found


def harness(rivals: Rivals) -> Iterator[Operation]:
    """What each figure holds for the sake of being measured."""
    yield Operation("harness", "empty call", None, (Way(FASTSIO, lambda: None, same),))


def operations(rivals: Rivals) -> list[Operation]:
    """All operations, in the order of the table."""
    sections = (harness, encoding, decoding, reconstruction, whole_path, frames, payloads, emitters)
    return [operation for section in sections for operation in section(rivals)]
