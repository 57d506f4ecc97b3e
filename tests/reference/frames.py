"""RFC 6455 frames, slow and obvious: the oracle for ``fastsio._frames``.

``read`` looks at a whole prefix of the stream at once and starts from its first byte each time, so it has no
state that could depend on how the stream was cut. Section numbers are those of RFC 6455.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field

COMPRESSED = 0x40
DATA = (0, 1, 2)
CONTROL = (8, 9, 10)


@dataclass
class Result:
    messages: list[tuple[int, bytes]] = field(default_factory=list)
    close_code: int = 0


class _Refused(Exception):
    pass


def mask_bytes(data: bytes, mask: bytes) -> bytes:
    """§5.3, one byte at a time."""
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


def build(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = None,
    length_size: int | None = None,
    length: int | None = None,
) -> bytes:
    """Any frame, right or wrong: ``length_size`` 0, 2 or 8 forces a form, ``length`` a false length."""
    n = len(payload) if length is None else length
    if length_size is None:
        length_size = 0 if n <= 125 else 2 if n <= 65535 else 8
    short = {0: n, 2: 126, 8: 127}[length_size]
    frame = bytes([(0x80 if fin else 0) | rsv << 4 | opcode, (0x80 if mask is not None else 0) | short])
    if length_size:
        frame += n.to_bytes(length_size, "big")
    if mask is None:
        return frame + payload
    return frame + mask + mask_bytes(payload, mask)


def close_code_of(payload: bytes) -> int:
    """The code that answers a faulty close payload (§5.5.1, §7.4), 0 for a good one."""
    if payload == b"":
        return 0
    if len(payload) == 1:
        return 1002
    code = int.from_bytes(payload[:2], "big")
    if code not in (*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)):
        return 1002
    try:
        payload[2:].decode("utf-8")
    except UnicodeDecodeError:
        return 1007
    return 0


def read(
    stream: bytes,
    *,
    client: bool = False,
    max_message_size: int = 1_000_000,
    max_fragments: int = 16384,
    compression: bool = False,
) -> Result:
    """What a prefix of the stream says: complete messages, and the close code of the first violation."""
    result = Result()

    def refuse_unless(condition: bool, code: int) -> None:
        if not condition:
            result.close_code = code
            raise _Refused

    message_opcode = 0  # of the message that is being read, 0 outside of one
    message = b""
    fragments = 0
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while len(stream) >= 2:
            fin, rsv, opcode = stream[0] >> 7, stream[0] >> 4 & 7, stream[0] & 15
            masked, length = stream[1] >> 7, stream[1] & 127
            # §5.2, and RFC 7692 §6 for the first reserved bit
            refuse_unless(rsv == 0 or (rsv == 4 and compression and opcode in (1, 2)), 1002)
            refuse_unless(opcode in DATA or opcode in CONTROL, 1002)
            refuse_unless(masked != client, 1002)
            if opcode in CONTROL:
                refuse_unless(fin == 1 and length <= 125, 1002)  # §5.5
            else:
                refuse_unless((opcode == 0) == (message_opcode != 0), 1002)  # §5.4
                refuse_unless(opcode != 0 or fragments < max_fragments, 1008)
            position = 2
            if length > 125:
                size = 2 if length == 126 else 8
                if len(stream) < 2 + size:
                    return result
                length = int.from_bytes(stream[2 : 2 + size], "big")
                refuse_unless(length < 1 << 63, 1002)  # §5.2
                position += size
            if opcode in DATA:
                refuse_unless(len(message) + length <= max_message_size, 1009)
            mask = b"\0\0\0\0"
            if masked:
                mask = stream[position : position + 4]
                position += 4
                if len(stream) < position:
                    return result
            payload = mask_bytes(stream[position : position + length], mask)
            complete = len(payload) == length
            if opcode in (1, 2):
                message_opcode = opcode | (COMPRESSED if rsv else 0)
                fragments = 0
                decoder.reset()
            if opcode in DATA:
                fragments += 1
                if message_opcode == 1:
                    try:
                        decoder.decode(payload, final=bool(fin and complete))  # §8.1
                    except UnicodeDecodeError:
                        refuse_unless(False, 1007)
            if not complete:
                return result
            stream = stream[position + length :]
            if opcode in CONTROL:
                if opcode == 8:
                    code = close_code_of(payload)
                    refuse_unless(code == 0, code)
                result.messages.append((opcode, payload))
                if opcode == 8:
                    return result  # §1.4: what follows is discarded
            else:
                message += payload
                if fin:
                    result.messages.append((message_opcode, message))
                    message_opcode, message = 0, b""
    except _Refused:
        pass
    return result
