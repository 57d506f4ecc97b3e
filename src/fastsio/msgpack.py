"""Packets as socket.io-msgpack-parser 3 writes them: one binary message per packet, no attachments.

A packet is a msgpack map with the keys ``type``, ``nsp``, ``data`` and ``id``. The latter two may be missing,
and other keys are ignored. Three extensions, all of type 0, stand for what msgpack does not have:

* fixext 1 is JavaScript's ``undefined``: the same as a missing key, None in an array;
* fixext 8 is a Date, a signed 64-bit number of milliseconds since 1970: a ``datetime`` here, in UTC;
* any other size is an ArrayBuffer: ``bytes``.

The module is a parser (option ``parser`` of servers and clients), which has the name ``"msgpack"``.
"""

from __future__ import annotations

import json
import math
import os
import re
import struct
from array import array
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

import ormsgpack

from fastsio._codec import Packet
from fastsio._codec import encode as encode_json
from fastsio.exceptions import PacketError

__all__ = ["Decoder", "Encoder", "decode", "encode"]

_EVENT, _CONNECT_ERROR, _BINARY_EVENT = 2, 4, 5

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)
_INT64 = struct.Struct(">q")

# ormsgpack stops at the end of the first value without saying where that was. So it gets an array of two, the
# input and a secret behind it: only if the first element is all of the input is the second the secret.
_SEAL = os.urandom(16)
_SEALED = b"\x92"
_END = b"\xc4\x10" + _SEAL


class _Absent:
    """JavaScript's undefined, while a packet is being decoded."""


_ABSENT = _Absent()


class Encoder:
    """Packets to messages."""

    __slots__ = ()

    def encode(self, packet: Packet) -> list[str | bytes]:
        """The one message of a packet; raises as :func:`encode`."""
        return [encode(packet)]


class Decoder:
    """Messages to packets."""

    __slots__ = ()

    def add(self, message: Any) -> Packet:
        """The packet in a message; raises as :func:`decode`."""
        return decode(message)


# Encoding


def encode(packet: Packet) -> bytes:
    """The bytes of the one binary message that carries a packet.

    Args:
        packet: its data holds what JSON can hold, bytes-likes and datetimes (naive: UTC). Keys that are no
            strings are written as JavaScript prints them, lone surrogates as U+FFFD, integers beyond 64 bits
            as floating point. A binary event or acknowledgement is written as a plain one.

    Raises:
        PacketError: the data holds something else, refers to itself or is nested too deep.
    """
    type_ = int(packet.type)
    if type_ >= _BINARY_EVENT:
        # Bytes travel inside the data here.
        type_ -= _BINARY_EVENT - _EVENT
    fields: dict[str, Any] = {"type": type_, "nsp": packet.namespace}
    if packet.data is not None:
        fields["data"] = packet.data
    if packet.id is not None:
        fields["id"] = packet.id
    try:
        return ormsgpack.packb(fields, _default, _OPTIONS)
    except ormsgpack.MsgpackEncodeError:
        # Perhaps something that JavaScript could send and ormsgpack refuses; then a plain copy will do.
        pass
    try:
        return ormsgpack.packb(_plain(fields), _default, _OPTIONS)
    except (TypeError, RecursionError) as error:
        raise PacketError(f"cannot be encoded: {error}") from error


_OPTIONS = ormsgpack.OPT_PASSTHROUGH_DATETIME | ormsgpack.OPT_PASSTHROUGH_BIG_INT


def _default(value: Any) -> Any:
    """What to write for a value that ormsgpack does not know, or knows differently."""
    if isinstance(value, datetime):
        moment = value if value.utcoffset() is not None else value.replace(tzinfo=timezone.utc)
        return ormsgpack.Ext(0, _INT64.pack((moment - _EPOCH) // _MILLISECOND))
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, int):
        return _as_float(value)
    if isinstance(value, (bytes, bytearray, array)):
        return bytes(value)
    if isinstance(value, float):
        return float(value)
    raise TypeError(f"not serialisable: {type(value).__name__}")


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _plain(value: Any) -> Any:
    """A copy without what ormsgpack refuses although JavaScript could send it."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, memoryview):
        return value.tobytes()
    return value


def _key(key: Any) -> str:
    """The name of a property, as the JSON encoder prints it."""
    if isinstance(key, str):
        return str(_plain(key))
    text = encode_json(Packet(_EVENT, data=[{key: None}]))[0]
    return str(next(iter(json.loads(text[1:])[0])))


# Decoding


def decode(data: bytes | bytearray | memoryview) -> Packet:
    """The packet in a binary message.

    Args:
        data: all of the message.

    Returns:
        The packet. Its data and id are None where they are missing or undefined. As in the reference, an
        event may lack a name, or have a reserved one: check that before dispatching.

    Raises:
        PacketError: not msgpack, bytes left over, nested too deep, an extension of another type, no packet.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise PacketError("text in place of a msgpack packet")
    try:
        content = bytes(data)
    except ValueError as error:
        raise PacketError(f"unreadable data: {error}") from error
    fields = _unpack(content)
    if type(fields) is not dict:
        raise PacketError("invalid packet type")
    type_ = fields.get("type")
    if type(type_) is not int or not 0 <= type_ <= _CONNECT_ERROR:
        raise PacketError("invalid packet type")
    namespace = fields.get("nsp")
    if type(namespace) is not str:
        raise PacketError("invalid namespace")
    payload = fields.get("data", _ABSENT)
    if type(payload) not in _PAYLOADS[type_]:
        raise PacketError("invalid payload")
    id_ = fields.get("id", _ABSENT)
    if id_ is _ABSENT:
        id_ = None
    elif type(id_) is not int:
        raise PacketError("invalid packet id")
    return Packet(type_, namespace, None if payload is _ABSENT else payload, id_)


# By packet type.
_PAYLOADS: tuple[tuple[type, ...], ...] = (
    (dict, _Absent),  # CONNECT
    (_Absent,),  # DISCONNECT
    (list,),  # EVENT
    (list,),  # ACK
    (str, dict),  # CONNECT_ERROR
)


def _unpack(data: bytes) -> Any:
    """The value that is all of `data`. Undefined is left out of maps, except the outermost."""
    hook = None
    check_counts(data)
    sealed = b"".join((_SEALED, data, _END))
    try:
        try:
            value, seal = ormsgpack.unpackb(sealed)
        except ormsgpack.MsgpackDecodeError:
            # Malformed, or extensions are in it.
            hook = _Extensions(data)
            value, seal = ormsgpack.unpackb(sealed, ext_hook=hook)
        if seal != _SEAL:
            raise PacketError("trailing bytes")
        if hook is not None:
            if hook.unclear:
                value, _ = _read(data, 0)
            if type(value) is dict:
                _drop_absent(list(value.values()))
    except PacketError:
        raise
    except (ValueError, RecursionError) as error:
        raise PacketError(f"not a msgpack packet: {error}") from error
    return value


# An array or a map of more than 65,535 elements, or bytes that look like the head of one.
_LARGE = re.compile(rb"[\xdd\xdf](?!\x00\x00)", re.DOTALL)


def check_counts(data: bytes) -> None:
    """Refuse an array or a map that announces more elements than there are bytes left.

    ormsgpack before 1.13 makes room for them first, and dies of it.
    """
    if _LARGE.search(data) is None:
        return
    # Two values are expected: behind the packet, what is left over stands in the place of the seal.
    at, end, missing = 0, len(data), 2
    while missing and at < end:
        head = data[at]
        at += 1
        missing -= 1
        count = 0
        if head < 0x80 or head >= 0xE0:
            continue
        if head < 0x90:
            count = 2 * (head & 0x0F)
        elif head < 0xA0:
            count = head & 0x0F
        elif head < 0xC0:
            at += head & 0x1F
        elif head in _NUMBERS:
            at += _NUMBERS[head].size
        elif head in _FIXED_EXTENSIONS:
            at += 1 + _FIXED_EXTENSIONS[head]
        elif head in _SIZED:
            width, read = _SIZED[head]
            size = int.from_bytes(data[at : at + width], "big")
            at += width
            if read is _read_array or read is _read_map:
                count = size if read is _read_array else 2 * size
                if count > end - at:
                    raise PacketError("more elements announced than there are bytes")
            else:
                at += size + (read is _read_extension)
        missing += count


class _Extensions:
    """ormsgpack's hook for extensions: it learns their type and content, not whether the size was fixed."""

    __slots__ = ("both_forms", "unclear")

    # Type 0, a size that a fixed extension has too, but written out.
    _WRITTEN_OUT = re.compile(rb"(?:\xc7|\xc8\x00|\xc9\x00\x00\x00)[\x01\x08]\x00")

    def __init__(self, data: bytes) -> None:
        self.both_forms = self._WRITTEN_OUT.search(data) is not None
        self.unclear = False

    def __call__(self, type_: int, content: bytes) -> Any:
        if type_ != 0:
            raise PacketError(f"unknown extension type {type_}")
        if len(content) not in (1, 8):
            return content
        if self.both_forms:
            self.unclear = True
            return None
        return _fixed(content)


def _fixed(content: bytes) -> Any:
    """What a fixed extension of type 0 with 1 or 8 bytes stands for."""
    if len(content) == 1:
        return _ABSENT
    try:
        return _EPOCH + timedelta(milliseconds=_INT64.unpack(content)[0])
    except OverflowError as error:
        raise PacketError("a date outside the years 1 to 9999") from error


def _drop_absent(containers: list[Any]) -> None:
    """Undefined in nested containers, as JSON has it: left out of maps, None in arrays. In place."""
    while containers:
        node = containers.pop()
        if type(node) is dict:
            for key in [key for key, item in node.items() if item is _ABSENT]:
                del node[key]
            containers.extend(node.values())
        elif type(node) is list:
            node[:] = [None if item is _ABSENT else item for item in node]
            containers.extend(node)


# A second reader, for the rare packet that holds an ArrayBuffer of 1 or 8 bytes. It tells that from the fixed
# extensions, and reads only what ormsgpack has accepted: so it checks nothing.


def _read(data: bytes, at: int) -> tuple[Any, int]:
    """The value at an offset, and the offset behind it."""
    head = data[at]
    at += 1
    if head < 0x80:
        return head, at
    if head >= 0xE0:
        return head - 0x100, at
    if head in _NUMBERS:
        number = _NUMBERS[head]
        return number.unpack_from(data, at)[0], at + number.size
    if head in _CONSTANTS:
        return _CONSTANTS[head], at
    if head in _FIXED_EXTENSIONS:
        size = _FIXED_EXTENSIONS[head]
        content = data[at + 1 : at + 1 + size]
        return (_fixed(content) if size in (1, 8) else content), at + 1 + size
    if head in _SIZED:
        width, read = _SIZED[head]
        return read(data, at + width, int.from_bytes(data[at : at + width], "big"))
    if head < 0x90:
        return _read_map(data, at, head & 0x0F)
    if head < 0xA0:
        return _read_array(data, at, head & 0x0F)
    return _read_text(data, at, head & 0x1F)


def _read_text(data: bytes, at: int, size: int) -> tuple[Any, int]:
    return data[at : at + size].decode(), at + size


def _read_bytes(data: bytes, at: int, size: int) -> tuple[Any, int]:
    return data[at : at + size], at + size


def _read_extension(data: bytes, at: int, size: int) -> tuple[Any, int]:
    return data[at + 1 : at + 1 + size], at + 1 + size


def _read_array(data: bytes, at: int, size: int) -> tuple[Any, int]:
    items = []
    for _ in range(size):
        item, at = _read(data, at)
        items.append(item)
    return items, at


def _read_map(data: bytes, at: int, size: int) -> tuple[Any, int]:
    items = {}
    for _ in range(size):
        key, at = _read(data, at)
        items[key], at = _read(data, at)
    return items, at


_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_NUMBERS = {0xCA + i: struct.Struct(">" + code) for i, code in enumerate("fdBHIQbhiq")}
_FIXED_EXTENSIONS = {0xD4 + i: 1 << i for i in range(5)}
_SIZED: dict[int, tuple[int, Callable[[bytes, int, int], tuple[Any, int]]]] = {
    **{0xC4 + i: (1 << i, _read_bytes) for i in range(3)},
    **{0xC7 + i: (1 << i, _read_extension) for i in range(3)},
    **{0xD9 + i: (1 << i, _read_text) for i in range(3)},
    **{0xDC + i: (2 << i, _read_array) for i in range(2)},
    **{0xDE + i: (2 << i, _read_map) for i in range(2)},
}
