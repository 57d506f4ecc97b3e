"""permessage-deflate against the Python package websockets: what it agrees to, reads and writes."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)

from fastsio.deflate import negotiate
from fastsio.engine import EngineServer
from fastsio.options import DeflateOptions

pytestmark = pytest.mark.interop

#: What a client may offer; True for a client_max_window_bits without a number.
OFFERS: list[dict[str, Any]] = [
    {
        "server_no_context_takeover": server_alone,
        "client_no_context_takeover": client_alone,
        "server_max_window_bits": server_bits,
        "client_max_window_bits": client_bits,
    }
    for server_alone, client_alone, server_bits, client_bits in itertools.product(
        [False, True], [False, True], [None, 9, 12, 15], [None, True, 9, 13]
    )
]
#: What a server may insist on.
OPTIONS: list[dict[str, Any]] = [
    {},
    {"server_no_context_takeover": True},
    {"client_no_context_takeover": True, "server_max_window_bits": 10},
    {"client_max_window_bits": 12},
    {"server_max_window_bits": 15, "client_max_window_bits": 9, "server_no_context_takeover": True},
]


def by_websockets(
    offer: ClientPerMessageDeflateFactory, options: dict[str, Any]
) -> dict[str, str | None] | None:
    """The parameters that a server of websockets answers with; None if it declines."""
    must = "client_max_window_bits" in options
    server = ServerPerMessageDeflateFactory(**options, require_client_max_window_bits=must)
    try:
        answer, _ = server.process_request_params(offer.get_request_params(), [])
    except Exception:
        return None
    return dict(answer)


def by_fastsio(
    offer: ClientPerMessageDeflateFactory, options: dict[str, Any]
) -> dict[str, str | None] | None:
    header = "; ".join(
        ["permessage-deflate"]
        + [name if value is None else f"{name}={value}" for name, value in offer.get_request_params()]
    )
    result = negotiate(header, DeflateOptions(**options))
    if result is None:
        return None
    _, *parameters = (part.strip() for part in result[0].split(";"))
    return {name: value or None for name, _, value in (part.partition("=") for part in parameters)}


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_same_is_agreed(options: dict[str, Any]) -> None:
    outcomes = []
    for parameters in OFFERS:
        offer = ClientPerMessageDeflateFactory(**parameters)
        answer = by_fastsio(offer, options)
        assert answer == by_websockets(offer, options), parameters
        if answer is not None:
            # The client must take the answer for one to its offer.
            offer.process_response_params([(name, value) for name, value in answer.items()], [])
        outcomes.append(answer is None)
    assert any(outcomes) is ("client_max_window_bits" in options) and not all(outcomes)


def messages(seed: int) -> list[str | bytes]:
    source = random.Random(seed)
    words = [source.randbytes(source.randrange(1, 60)) for _ in range(20)]
    texts = [b"".join(source.choices(words, k=source.randrange(1, 400))).hex() for _ in range(6)]
    return [
        *texts,
        "",
        "é😀" * 2000,
        *(text.encode() for text in texts),
        b"",
        bytes(70_000),
        source.randbytes(3000),
    ]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
async def test_a_conversation(options: dict[str, Any]) -> None:
    engine = EngineServer(per_message_deflate={**options, "threshold": 0})
    engine.on("connection", lambda session: session.on("message", session.send))
    await engine.listen(0, "127.0.0.1")
    try:
        url = f"ws://127.0.0.1:{engine.port}/engine.io/?EIO=4&transport=websocket"
        for number, parameters in enumerate(OFFERS[::5]):
            extension = ClientPerMessageDeflateFactory(**parameters)
            async with connect(url, extensions=[extension], compression=None) as client:
                assert (await client.recv(decode=True)).startswith("0{")
                compressed = [
                    found for found in client.protocol.extensions if isinstance(found, PerMessageDeflate)
                ]
                assert bool(compressed) is (by_fastsio(extension, options) is not None)
                for message in messages(number):
                    await client.send(message if isinstance(message, bytes) else "4" + message)
                    answer = await client.recv()
                    assert answer == (message if isinstance(message, bytes) else "4" + message)
    finally:
        await engine.close(grace=0.2)
