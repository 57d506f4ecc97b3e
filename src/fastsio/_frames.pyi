from typing import Final, TypeAlias, final

__all__ = [
    "COMPRESSED",
    "OP_BINARY",
    "OP_CLOSE",
    "OP_CONTINUATION",
    "OP_PING",
    "OP_PONG",
    "OP_TEXT",
    "FrameChain",
    "FrameParser",
    "apply_mask",
    "build_close",
    "build_frame",
    "chain_frames",
    "check_utf8",
    "parse_close",
]

_BytesLike: TypeAlias = bytes | bytearray | memoryview

OP_CONTINUATION: Final[int]
OP_TEXT: Final[int]
OP_BINARY: Final[int]
OP_CLOSE: Final[int]
OP_PING: Final[int]
OP_PONG: Final[int]
COMPRESSED: Final[int]

@final
class FrameParser:
    def __init__(
        self,
        *,
        client: bool = False,
        max_message_size: int = 1_000_000,
        max_fragments: int = 16384,
        compression: bool = False,
    ) -> None: ...
    @property
    def close_code(self) -> int: ...
    @property
    def close_reason(self) -> str: ...
    @property
    def buffered(self) -> int: ...
    @property
    def between(self) -> bool: ...
    @property
    def opcode(self) -> int: ...
    def feed(self, data: _BytesLike, /) -> list[tuple[int, bytes]]: ...
    def begin(self, data: bytes) -> None: ...
    def next_message(self) -> bytes | None: ...

@final
class FrameChain:
    @property
    def before(self) -> FrameChain | None: ...
    @property
    def frames(self) -> bytes: ...
    @property
    def size(self) -> int: ...
    def data(self) -> bytes: ...

def chain_frames(before: FrameChain | None, frames: bytes) -> FrameChain: ...
def build_frame(
    opcode: int,
    payload: _BytesLike,
    *,
    fin: bool = True,
    rsv1: bool = False,
    mask: _BytesLike | None = None,
) -> bytes: ...
def apply_mask(data: _BytesLike, mask: _BytesLike) -> bytes: ...
def build_close(code: int | None, reason: str = "") -> bytes: ...
def parse_close(payload: bytes) -> tuple[int, str]: ...
def check_utf8(data: _BytesLike) -> bool: ...
