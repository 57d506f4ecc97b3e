from collections.abc import Iterable
from enum import IntEnum

__all__ = [
    "EnginePacketType",
    "decode_engine_packet",
    "decode_payload",
    "encode_engine_packet",
    "encode_payload",
]

class EnginePacketType(IntEnum):
    OPEN = 0
    CLOSE = 1
    PING = 2
    PONG = 3
    MESSAGE = 4
    UPGRADE = 5
    NOOP = 6

def encode_engine_packet(
    type: int,
    data: str | bytes | bytearray | memoryview | None = None,
    protocol: int = 4,
    binary: bool = True,
) -> str | bytes: ...
def decode_engine_packet(
    data: str | bytes | bytearray | memoryview, protocol: int = 4
) -> tuple[int | None, str | bytes | None]: ...
def encode_payload(
    packets: Iterable[tuple[int, str | bytes | bytearray | memoryview | None]],
    protocol: int = 4,
    binary: bool = True,
) -> bytes: ...
def decode_payload(
    body: bytes | bytearray | memoryview,
    protocol: int = 4,
    binary: bool = False,
    max_packets: int = 0,
) -> list[tuple[int | None, str | bytes | None]]: ...
