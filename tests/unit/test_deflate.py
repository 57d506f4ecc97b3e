"""permessage-deflate (RFC 7692): what is agreed, what is inflated, and what that may cost."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage
from wsproto.extensions import PerMessageDeflate

from fastsio._frames import COMPRESSED, OP_BINARY, OP_TEXT, FrameParser, build_frame
from fastsio.deflate import Deflate, InflateError, InflateTooLarge, accept, negotiate, offer
from fastsio.exceptions import OptionError, PacketError, PayloadTooLarge
from fastsio.options import DeflateOptions

NAME = "permessage-deflate"
TAIL = b"\x00\x00\xff\xff"


def answer(header: str, **options: Any) -> list[str] | None:
    """The agreed parameters, sorted; None if nothing is agreed."""
    result = negotiate(header, DeflateOptions(**options))
    if result is None:
        return None
    name, *parameters = result[0].split("; ")
    assert name == NAME
    return sorted(parameters)


def pair(**parameters: Any) -> tuple[Deflate, Deflate]:
    """A client and a server that have agreed."""
    agreed = PerMessageDeflate(**parameters)
    return Deflate(agreed, client=True, threshold=0), Deflate(agreed, threshold=0)


def compressed(message: bytes, bits: int = 15, flush: int = zlib.Z_SYNC_FLUSH) -> bytes:
    """What a peer sends for a message; with Z_FINISH it uses a final block."""
    stream = zlib.compressobj(wbits=-bits)
    data = stream.compress(message) + stream.flush(flush)
    return data.removesuffix(TAIL) if flush == zlib.Z_SYNC_FLUSH else data + b"\x00"


# -- negotiation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "options", "expected"),
    [
        (NAME, {}, []),
        (f"  {NAME}\t ", {}, []),
        (f"{NAME}; client_max_window_bits", {}, []),
        (f"{NAME};client_max_window_bits=10", {}, ["client_max_window_bits=10"]),
        (f'{NAME} ; client_max_window_bits = "10"', {}, ["client_max_window_bits=10"]),
        (f"{NAME}; server_max_window_bits=9", {}, ["server_max_window_bits=9"]),
        (f"{NAME}; server_max_window_bits=15", {}, ["server_max_window_bits=15"]),
        (f"{NAME}; server_no_context_takeover", {}, ["server_no_context_takeover"]),
        (f"{NAME}; client_no_context_takeover", {}, ["client_no_context_takeover"]),
        (
            f"{NAME}; client_max_window_bits=12; server_no_context_takeover; server_max_window_bits=11",
            {"client_no_context_takeover": True},
            [
                "client_max_window_bits=12",
                "client_no_context_takeover",
                "server_max_window_bits=11",
                "server_no_context_takeover",
            ],
        ),
        # The server's own wishes; the smaller window counts.
        (NAME, {"server_no_context_takeover": True}, ["server_no_context_takeover"]),
        (NAME, {"client_no_context_takeover": True}, ["client_no_context_takeover"]),
        (NAME, {"server_max_window_bits": 10}, ["server_max_window_bits=10"]),
        (f"{NAME}; server_max_window_bits=12", {"server_max_window_bits": 10}, ["server_max_window_bits=10"]),
        (f"{NAME}; server_max_window_bits=9", {"server_max_window_bits": 10}, ["server_max_window_bits=9"]),
        (f"{NAME}; client_max_window_bits", {"client_max_window_bits": 10}, ["client_max_window_bits=10"]),
        (f"{NAME}; client_max_window_bits=12", {"client_max_window_bits": 10}, ["client_max_window_bits=10"]),
        (f"{NAME}; client_max_window_bits=9", {"client_max_window_bits": 10}, ["client_max_window_bits=9"]),
        (NAME, {"client_max_window_bits": 10}, None),
        # Several offers: the first that can be accepted.
        (f"{NAME}; server_max_window_bits=9, {NAME}", {}, ["server_max_window_bits=9"]),
        (f"{NAME}; unknown, {NAME}; server_max_window_bits=10", {}, ["server_max_window_bits=10"]),
        (f"{NAME}; server_max_window_bits=7, {NAME}", {}, []),
        (f"{NAME}; server_max_window_bits=8, {NAME}", {}, []),
        (
            f"{NAME}, {NAME}; client_max_window_bits",
            {"client_max_window_bits": 9},
            ["client_max_window_bits=9"],
        ),
        (f"x-webkit-deflate-frame, {NAME}", {}, []),
        (f'x-other; a; b=c; d="e", {NAME}', {}, []),
        (f", ,{NAME},,", {}, []),
        # Parameters that RFC 7692 §7.1 does not know like this.
        (f"{NAME}; server_max_window_bits=7", {}, None),
        (f"{NAME}; server_max_window_bits=8", {}, None),
        (f"{NAME}; server_max_window_bits=16", {}, None),
        (f"{NAME}; server_max_window_bits=010", {}, None),
        (f"{NAME}; server_max_window_bits=-10", {}, None),
        (f"{NAME}; server_max_window_bits=1_0", {}, None),
        (f"{NAME}; server_max_window_bits=" + "1" * 5000, {}, None),
        (f"{NAME}; server_max_window_bits=ten", {}, None),
        (f"{NAME}; server_max_window_bits", {}, None),
        (f"{NAME}; client_max_window_bits=7", {}, None),
        (f"{NAME}; client_max_window_bits=8", {}, None),
        (f"{NAME}; client_max_window_bits=16", {}, None),
        (f"{NAME}; client_max_window_bits=x", {}, None),
        (f"{NAME}; server_no_context_takeover=1", {}, None),
        (f"{NAME}; client_no_context_takeover=true", {}, None),
        (f"{NAME}; unknown", {}, None),
        (f"{NAME}; server_no_context_takeovers", {}, None),
        (f"{NAME}; client_max_window_bits; client_max_window_bits", {}, None),
        (f"{NAME}; client_max_window_bits=10; client_max_window_bits=11", {}, None),
        (f"{NAME}; server_no_context_takeover; server_no_context_takeover", {}, None),
        # Other extensions, and what is no extension list.
        ("", {}, None),
        (" , ,", {}, None),
        ("constructor", {}, None),
        ("__class__", {}, None),
        ("x-webkit-deflate-frame", {}, None),
        (NAME.upper(), {}, None),
        (f"{NAME} {NAME}", {}, None),
        (f"{NAME};", {}, None),
        (f"{NAME};;client_max_window_bits", {}, None),
        (f"{NAME}=1", {}, None),
        (f"{NAME}; =10", {}, None),
        (f"{NAME}; client_max_window_bits=", {}, None),
        (f"{NAME}; client_max_window_bits=,", {}, None),
        (f"{NAME}; client_max_window_bits==10", {}, None),
        (f"{NAME}; client_max_window_bits=10 11", {}, None),
        (f'{NAME}; client_max_window_bits="10', {}, None),
        (f'{NAME}; client_max_window_bits=""', {}, None),
        (f'"{NAME}"', {}, None),
        (f'{NAME}; "client_max_window_bits"', {}, None),
        (f'x; a="b,{NAME},c"', {}, None),
        (f"{NAME}\x00", {}, None),
        (f"{NAME}\r\n", {}, None),
        (f"{NAME}é", {}, None),
        (f"{NAME}; server_max_window_bits=\u0661\u0660", {}, None),
        ("\ud800", {}, None),
    ],
)
def test_negotiation(header: str, options: dict[str, Any], expected: list[str] | None) -> None:
    assert answer(header, **options) == expected


WORDS = st.sampled_from(
    [
        NAME,
        "server_no_context_takeover",
        "client_no_context_takeover",
        "server_max_window_bits",
        "client_max_window_bits",
        *(
            f"{side}_max_window_bits={bits}"
            for side in ("server", "client")
            for bits in ("8", "9", "15", "16", "x")
        ),
        "unknown",
        *',;=" ',
        "; ",
        ", ",
        "10",
        "é",
        "\x00",
        "\\",
    ]
)


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(st.lists(WORDS, max_size=12).map("".join), st.text(max_size=40), st.lists(WORDS).map("; ".join))
)
@example(NAME + "; server_max_window_bits=15; client_max_window_bits=15")
def test_any_header_is_answered_or_ignored(header: str) -> None:
    """And wsproto as a client is content with each answer."""
    result = negotiate(header, DeflateOptions())
    if result is not None:
        assert NAME in header
        client = PerMessageDeflate()
        client.finalize(result[0])
        assert client.enabled()
        message = b"message " * 10
        theirs = Deflate(client, client=True, threshold=0)
        for _ in range(2):
            data = theirs.deflate(message)
            assert data is not None
            assert result[1].inflate(data) == message


def test_an_answer_holds_nothing_that_was_not_offered() -> None:
    """client_max_window_bits must not be sent to a client that does not know it (§7.1.2.2)."""
    for bits in (None, 9, 15):
        result = answer(NAME, client_max_window_bits=bits)
        assert result is None or not any(name.startswith("client_max") for name in result)


def test_a_long_header_is_read_in_linear_time() -> None:
    """Read in quadratic time, these would take the better part of an hour."""
    for header in (
        " " * 500_000 + "x",
        f"{NAME};" + " " * 500_000 + "!(",
        "a" * 500_000 + "(",
        "a," * 250_000 + "(",
    ):
        assert negotiate(header, DeflateOptions()) is None


@pytest.mark.parametrize(
    "options",
    [
        {"thresold": 1},
        {"threshold": -1},
        {"threshold": "1024"},
        {"level": 10},
        {"level": -2},
        {"mem_level": 0},
        {"mem_level": 10},
        {"server_max_window_bits": 8},
        {"server_max_window_bits": 16},
        {"client_max_window_bits": 8},
        {"client_max_window_bits": 16},
    ],
)
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError) as caught:
        DeflateOptions.read(options)
    assert next(iter(options)) in str(caught.value)


def test_options_are_obeyed() -> None:
    options = DeflateOptions(threshold=0, level=9, mem_level=9, server_max_window_bits=9)
    result = negotiate(NAME, options)
    assert result is not None
    assert result[0] == f"{NAME}; server_max_window_bits=9"
    assert result[1].deflate(b"a" * 100) is not None


# -- messages ---------------------------------------------------------------------------------------------

BOTH_WAYS = [
    {},
    {"client_no_context_takeover": True},
    {"server_no_context_takeover": True},
    {"client_no_context_takeover": True, "server_no_context_takeover": True},
    {"client_max_window_bits": 9, "server_max_window_bits": 15},
    {"client_max_window_bits": 15, "server_max_window_bits": 9},
    {"client_max_window_bits": 10, "server_max_window_bits": 12, "server_no_context_takeover": True},
]


@pytest.mark.parametrize("parameters", BOTH_WAYS, ids=str)
@pytest.mark.parametrize("from_client", [True, False])
def test_context_and_windows_fit_in_both_directions(parameters: dict[str, Any], from_client: bool) -> None:
    client, server = pair(**parameters)
    sender, receiver = (client, server) if from_client else (server, client)
    side = "client" if from_client else "server"
    message = bytes(range(100))
    sizes = []
    for _ in range(3):
        data = sender.deflate(message)
        assert data is not None
        assert not data.endswith(TAIL)
        assert receiver.inflate(data) == message
        sizes.append(len(data))
    if parameters.get(f"{side}_no_context_takeover"):
        assert sizes[0] == sizes[1] == sizes[2]
    else:
        assert sizes[1] < sizes[0] / 2
    # A repetition 600 bytes back lies outside of the smallest window.
    unique = bytes((i * i * 31 + i // 7) % 251 for i in range(600))
    data = sender.deflate(unique + unique)
    assert data is not None
    assert receiver.inflate(data) == unique + unique


def test_a_window_smaller_than_agreed_holds() -> None:
    """What the other side may inflate with nothing larger is not compressed with anything larger."""
    client, server = pair(client_max_window_bits=9, server_max_window_bits=9)
    message = bytes((i * 7919) % 256 for i in range(600)) * 4
    for sender in (client, server):
        data = sender.deflate(message)
        assert data is not None
        assert zlib.decompressobj(-9).decompress(data + TAIL) == message
    # Within a message zlib can look back as far as its output goes; to earlier messages only so far.
    unique = bytes((i * i * 31 + i // 7) % 251 for i in range(600))
    far, (_, large) = zlib.compressobj(wbits=-15), pair()
    for message in (unique + bytes(2000), unique):
        data = far.compress(message) + far.flush(zlib.Z_SYNC_FLUSH)
        assert large.inflate(data[:-4]) == message
        if message == unique:
            with pytest.raises(InflateError):
                server.inflate(data[:-4])
        else:
            server.inflate(data[:-4])


def test_no_context_is_kept_when_it_is_not_agreed() -> None:
    _, server = pair(client_no_context_takeover=True)
    sender, _ = pair()
    first, second = sender.deflate(b"context " * 20), sender.deflate(b"context " * 20)
    assert first is not None
    assert second is not None
    assert server.inflate(first) == b"context " * 20
    with pytest.raises(InflateError):
        server.inflate(second)


def test_threshold() -> None:
    for threshold in (0, 1, 2, 1024):
        result = negotiate(NAME, DeflateOptions(threshold=threshold))
        assert result is not None
        assert result[1].deflate(bytes(max(threshold - 1, 0))) is None
        assert result[1].deflate(bytes(max(threshold, 1))) is not None
    default = negotiate(NAME, DeflateOptions())
    assert default is not None
    assert default[1].deflate(bytes(1023)) is None
    assert default[1].deflate(bytes(1024)) is not None


def test_level() -> None:
    sizes = []
    for level in (0, 1, 9):
        result = negotiate(NAME, DeflateOptions(level=level))
        assert result is not None
        data = result[1].deflate(b"".join(b"%d " % (i * i) for i in range(2000)))
        assert data is not None
        sizes.append(len(data))
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize(
    "final", [b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", compressed(b"Hello", flush=zlib.Z_FINISH)]
)
def test_a_message_may_end_with_a_final_block(final: bytes) -> None:
    """RFC 7692 §7.2.3.4, and its example; the next message then starts a new context."""
    _, server = pair()
    assert server.inflate(final) == b"Hello"
    assert server.inflate(compressed(b"Hello")) == b"Hello"
    assert server.inflate(final) == b"Hello"


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"Hello"),
        (b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", b"Hello"),
        (b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", b"Hello"),
        (b"\x00", b""),
    ],
)
def test_examples_of_the_rfc(payload: bytes, message: bytes) -> None:
    """§7.2.3: one block, stored blocks, two blocks, nothing."""
    _, server = pair()
    assert server.inflate(payload) == message


@pytest.mark.parametrize(
    "payload",
    [
        b"\x07",  # the reserved block type
        b"\xff" * 20,
        compressed(b"Hello", flush=zlib.Z_FINISH) + b"more",
        compressed(b"a", flush=zlib.Z_FINISH)[:-1] + compressed(b"b", flush=zlib.Z_FINISH),
        b"\x00\x05\x00\xfa\xfe",
    ],
)
def test_what_does_not_inflate(payload: bytes) -> None:
    _, server = pair()
    with pytest.raises(InflateError) as caught:
        server.inflate(payload)
    assert isinstance(caught.value, PacketError)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=4), st.integers(0, 300), st.sampled_from(BOTH_WAYS))
def test_garbage_inflates_within_the_limit_or_is_refused(
    payloads: list[bytes], limit: int, parameters: dict[str, Any]
) -> None:
    _, server = pair(**parameters)
    for payload in payloads:
        try:
            message = server.inflate(payload, limit)
        except (InflateError, InflateTooLarge):
            return
        assert len(message) <= limit


# -- limits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 100, 16_383, 16_384, 16_385, 1_000_000])
def test_the_limit_is_exact(size: int) -> None:
    _, server = pair()
    assert server.inflate(compressed(bytes(size)), size) == bytes(size)
    _, server = pair()
    with pytest.raises(PayloadTooLarge) as caught:
        server.inflate(compressed(bytes(size + 1)), size)
    error = caught.value
    assert (error.size, error.limit, error.option) == (size + 1, size, "max_http_buffer_size")
    assert "max_http_buffer_size" in str(error)


def test_the_limit_holds_over_a_shared_context_and_final_blocks() -> None:
    client, server = pair()
    for size in (100, 100, 100):
        data = client.deflate(b"x" * size)
        assert data is not None
        assert server.inflate(data, 100) == b"x" * size
    data = client.deflate(b"x" * 101)
    assert data is not None
    with pytest.raises(PayloadTooLarge):
        server.inflate(data, 100)
    _, server = pair()
    assert len(server.inflate(compressed(bytes(100), flush=zlib.Z_FINISH), 100)) == 100
    with pytest.raises(PayloadTooLarge):
        server.inflate(compressed(bytes(101), flush=zlib.Z_FINISH), 100)


def test_the_limit_of_the_connection() -> None:
    result = negotiate(NAME, DeflateOptions(), 500)
    assert result is not None
    assert result[1].inflate(compressed(bytes(500))) == bytes(500)
    with pytest.raises(InflateTooLarge):
        result[1].inflate(compressed(bytes(501)))
    huge = negotiate(NAME, DeflateOptions(), sys.maxsize)
    assert huge is not None
    assert huge[1].inflate(compressed(b"small")) == b"small"


def peak(run: Callable[[], Any]) -> int:
    """Most bytes that were in use at a time while it ran."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        run()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("flush", [zlib.Z_SYNC_FLUSH, zlib.Z_FINISH])
def test_a_compression_bomb_stops_at_the_limit(flush: int) -> None:
    bomb = compressed(bytes(100_000_000), flush=flush)
    assert len(bomb) < 200_000
    _, server = pair()

    def run() -> None:
        with pytest.raises(PayloadTooLarge):
            server.inflate(bomb, 100_000)

    # The payload with its tail, what zlib did not get to, and the output; and nothing is kept.
    assert peak(run) < 2 * len(bomb) + 2 * 100_000 + 100_000
    assert server._decompressor is None


def test_endless_final_blocks_cost_one_stream() -> None:
    """Each could cost a new zlib stream and a copy of the rest."""
    blocks = zlib.compressobj(wbits=-15).flush(zlib.Z_FINISH) * 300_000
    _, server = pair()
    with pytest.raises(InflateError):
        server.inflate(blocks)


def test_streams_are_made_when_needed_and_dropped_without_context() -> None:
    for reset in (False, True):
        client, server = pair(client_no_context_takeover=reset, server_no_context_takeover=reset)
        for end in (client, server):
            assert end._compressor is None
            assert end._decompressor is None
        data = client.deflate(b"x" * 100)
        assert data is not None
        server.inflate(data)
        assert (client._compressor is None) == reset
        assert (server._decompressor is None) == reset
        assert client._decompressor is None
        assert server._compressor is None
    assert not hasattr(server, "__dict__")


def test_no_leak() -> None:
    def round_trip() -> None:
        client, server = pair()
        data = client.deflate(b"x" * 1000)
        assert data is not None
        server.inflate(data)
        for bad in (b"\x07", data * 3):
            with pytest.raises(PacketError):
                server.inflate(bad, 10)

    round_trip()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            round_trip()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 4000
    finally:
        tracemalloc.stop()


# -- with wsproto at the other end ------------------------------------------------------------------------


def wsproto_end(agreed: str, client: bool) -> Connection:
    extension = PerMessageDeflate()
    extension.finalize(agreed)
    return Connection(ConnectionType.CLIENT if client else ConnectionType.SERVER, [extension])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.text(max_size=300), st.binary(max_size=300)), max_size=5),
    st.sampled_from(BOTH_WAYS),
    st.booleans(),
    st.integers(1, 400),
)
def test_a_conversation_with_wsproto(
    messages: list[str | bytes], parameters: dict[str, Any], client: bool, step: int
) -> None:
    """In either role, through frames in both directions, with the context of earlier messages."""
    offer = PerMessageDeflate(**parameters)
    result = negotiate(f"{NAME}; {offer.offer()}", DeflateOptions())
    assert result is not None
    agreed, ours = result
    if client:
        extension = PerMessageDeflate()
        extension.finalize(agreed)
        ours = Deflate(extension, client=True, threshold=0)
    theirs = wsproto_end(agreed, client=not client)
    parser = FrameParser(client=client, compression=True)
    for message in messages:
        text = isinstance(message, str)
        event = TextMessage(data=message) if isinstance(message, str) else BytesMessage(data=message)
        payload = message.encode() if isinstance(message, str) else message

        stream = theirs.send(event)
        read = [item for i in range(0, len(stream), step) for item in parser.feed(stream[i : i + step])]
        ((opcode, data),) = read
        assert opcode == (OP_TEXT if text else OP_BINARY) | COMPRESSED
        assert ours.inflate(data, len(payload)) == payload

        small = ours.deflate(payload)
        frame = build_frame(
            OP_TEXT if text else OP_BINARY,
            payload if small is None else small,
            rsv1=small is not None,
            mask=b"mask" if client else None,
        )
        for i in range(0, len(frame), step):
            theirs.receive_data(frame[i : i + step])
        received: Any = [
            event.data for event in theirs.events() if isinstance(event, (TextMessage, BytesMessage))
        ]
        assert ("" if text else b"").join(received) == message


# -- the client's side ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({}, f"{NAME}; client_max_window_bits"),
        (
            {"server_no_context_takeover": True, "client_no_context_takeover": True},
            f"{NAME}; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
        ),
        (
            {"server_max_window_bits": 10, "client_max_window_bits": 12},
            f"{NAME}; server_max_window_bits=10; client_max_window_bits=12",
        ),
    ],
)
def test_what_a_client_offers(options: dict[str, Any], header: str) -> None:
    assert offer(DeflateOptions(**options)) == header


@pytest.mark.parametrize(
    "answered",
    [
        NAME,
        f"{NAME}; server_no_context_takeover",
        f"{NAME}; client_no_context_takeover",
        f"{NAME}; server_max_window_bits=9",
        f'{NAME}; server_max_window_bits="15"; client_max_window_bits=15',
        f"{NAME}; client_max_window_bits=9; client_no_context_takeover",
    ],
)
def test_answers_that_a_client_accepts(answered: str) -> None:
    ours = accept(answered, DeflateOptions(threshold=0), 10_000)
    bits = 9 if "bits=9" in answered else 15
    theirs = Deflate(
        PerMessageDeflate(
            server_no_context_takeover="server_no" in answered,
            client_no_context_takeover="client_no" in answered,
            server_max_window_bits=bits if "server_max" in answered else 15,
            client_max_window_bits=bits if "client_max" in answered else 15,
        ),
        threshold=0,
    )
    for message in (b"abc" * 500, b"xyz" * 2000):
        sent, received = ours.deflate(message), theirs.deflate(message)
        assert sent is not None and received is not None
        assert theirs.inflate(sent) == message and ours.inflate(received) == message


def test_a_window_too_small_to_compress_for() -> None:
    """RFC 7692 allows 8, with which zlib inflates only."""
    ours = accept(f"{NAME}; client_max_window_bits=8", DeflateOptions(threshold=0), 10_000)
    assert ours.deflate(b"abc" * 500) is None


@pytest.mark.parametrize(
    "answered",
    [
        "",
        ";;",
        "permessage-bzip2",
        f"{NAME}, {NAME}",
        f"{NAME}; unknown",
        f"{NAME}; server_no_context_takeover=1",
        f"{NAME}; server_no_context_takeover; server_no_context_takeover",
        f"{NAME}; server_max_window_bits",
        f"{NAME}; server_max_window_bits=7",
        f"{NAME}; server_max_window_bits=13",
        f"{NAME}; client_max_window_bits=16",
        f"{NAME}; client_max_window_bits=12",
    ],
)
def test_answers_that_a_client_refuses(answered: str) -> None:
    options = DeflateOptions(server_max_window_bits=12, client_max_window_bits=11)
    with pytest.raises(PacketError, match="not offered"):
        accept(answered, options, 10_000)
