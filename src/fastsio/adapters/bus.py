"""What the servers of a cluster say to each other: messages of Node's ``ClusterAdapter`` as text and bytes.

A message is ``{uid, nsp, type, data}``: which adapter says it, of which namespace, what kind, and a mapping
whose keys go by the kind. Data travel as JSON, or as msgpack where bytes are in them. Nothing here executes
what it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, timezone
from enum import IntEnum
from typing import Any, NamedTuple

import orjson
import ormsgpack

from fastsio._codec import Packet, encode
from fastsio.adapters.base import PLAIN, BroadcastFlags, BroadcastOptions
from fastsio.exceptions import PacketError
from fastsio.msgpack import check_counts

__all__ = [
    "BusError",
    "Message",
    "MessageType",
    "from_json",
    "pack",
    "read_args",
    "read_event",
    "read_list",
    "read_message",
    "read_names",
    "read_options",
    "read_text",
    "to_json",
    "unpack",
    "write_event",
    "write_options",
]

_EVENT = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class BusError(ValueError):
    """A message of the cluster that is none."""


class MessageType(IntEnum):
    """Kinds of messages, by their numbers on the wire."""

    INITIAL_HEARTBEAT = 1
    HEARTBEAT = 2
    BROADCAST = 3
    SOCKETS_JOIN = 4
    SOCKETS_LEAVE = 5
    DISCONNECT_SOCKETS = 6
    FETCH_SOCKETS = 7
    FETCH_SOCKETS_RESPONSE = 8
    SERVER_SIDE_EMIT = 9
    SERVER_SIDE_EMIT_RESPONSE = 10
    BROADCAST_CLIENT_COUNT = 11
    BROADCAST_ACK = 12
    ADAPTER_CLOSE = 13


class Message(NamedTuple):
    """One message. ``data`` is checked by who reads it, key by key."""

    uid: str
    namespace: str
    type: int
    data: Mapping[str, Any]


# Values


def to_json(value: Any) -> bytes | None:
    """JSON as clients get it; None if bytes are in the value.

    :raises PacketError: for a value that cannot be sent.
    """
    pieces = encode(Packet(_EVENT, data=[value]))
    # A packet "2[value]", which has a count in front if attachments follow.
    return pieces[0][2:-1].encode() if len(pieces) == 1 else None


def pack(value: Any) -> bytes:
    """The value as msgpack.

    :raises PacketError: for a value that cannot be sent.
    """
    try:
        return ormsgpack.packb(value, _default, ormsgpack.OPT_PASSTHROUGH_DATETIME)
    except (TypeError, RecursionError) as error:
        raise PacketError(f"cannot be encoded: {error}") from error


def _default(value: Any) -> Any:
    if isinstance(value, datetime):
        moment = value if value.utcoffset() is not None else value.replace(tzinfo=timezone.utc)
        text = moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="milliseconds")
        return text + "Z"
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise TypeError(f"not serialisable: {type(value).__name__}")


def unpack(data: bytes) -> Any:
    """The value in msgpack; a timestamp is a ``datetime`` in UTC.

    :raises BusError: if it is none.
    """
    try:
        check_counts(data)
        return ormsgpack.unpackb(data, ext_hook=_extension)
    except BusError:
        raise
    except (PacketError, ValueError, RecursionError) as error:
        raise BusError(f"not msgpack: {error}") from error


def _extension(type_: int, content: bytes) -> Any:
    """A timestamp, as the msgpack specification has it (extension type -1)."""
    if type_ != -1 or len(content) not in (4, 8, 12):
        raise BusError(f"unknown extension type {type_}")
    if len(content) == 4:
        seconds, nanoseconds = int.from_bytes(content, "big"), 0
    elif len(content) == 8:
        both = int.from_bytes(content, "big")
        seconds, nanoseconds = both & 0x3_FFFF_FFFF, both >> 34
    else:
        nanoseconds = int.from_bytes(content[:4], "big")
        seconds = int.from_bytes(content[4:], "big", signed=True)
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)
    except OverflowError as error:
        raise BusError("a date outside the years 1 to 9999") from error


def from_json(data: bytes) -> Any:
    """The value in JSON.

    :raises BusError: if it is none.
    """
    try:
        return orjson.loads(data)
    except ValueError as error:
        raise BusError(f"not JSON: {error}") from error


# Parts of messages


def read_text(data: Mapping[str, Any], key: str) -> str:
    """The string that ``data`` has under ``key``.

    :raises BusError: if it has none.
    """
    value = data.get(key)
    if not isinstance(value, str):
        raise BusError(f"{key} is not a string")
    return value


def read_list(data: Mapping[str, Any], key: str) -> list[Any]:
    """The list that ``data`` has under ``key``.

    :raises BusError: if it has none.
    """
    value = data.get(key)
    if not isinstance(value, list):
        raise BusError(f"{key} is not a list")
    return value


def read_names(data: Mapping[str, Any], key: str) -> list[str]:
    """The names, of rooms or sockets, that ``data`` has under ``key``.

    :raises BusError: if it has none.
    """
    names = read_list(data, key)
    if not all(isinstance(name, str) for name in names):
        raise BusError(f"{key} has something else than strings")
    return names


def read_message(value: Any) -> Message:
    """The message that a mapping is.

    :raises BusError: if it is none.
    """
    if not isinstance(value, dict):
        raise BusError("not a mapping")
    data, type_ = value.get("data"), value.get("type")
    if not isinstance(data, dict) or type(type_) is not int:
        raise BusError("without data or type")
    return Message(read_text(value, "uid"), read_text(value, "nsp"), type_, data)


def write_event(args: tuple[Any, ...]) -> dict[str, Any]:
    """``(event, *args)`` as a packet."""
    return {"type": _EVENT, "data": list(args)}


def read_event(data: Mapping[str, Any]) -> tuple[Any, ...]:
    """``(event, *args)`` of the packet in a message.

    :raises BusError: if there is none.
    """
    packet = data.get("packet")
    if not isinstance(packet, dict) or packet.get("type") != _EVENT:
        raise BusError("no event packet")
    return read_args(packet, "data")


def read_args(data: Mapping[str, Any], key: str) -> tuple[Any, ...]:
    """``(event, *args)`` that ``data`` has under ``key``.

    :raises BusError: if it has none.
    """
    args = read_list(data, key)
    if not args or not isinstance(args[0], str):
        raise BusError("an event without a name")
    return tuple(args)


def write_options(options: BroadcastOptions) -> dict[str, Any]:
    """Whom a message is for and how, in Node's names and units: ``timeout`` is in milliseconds."""
    rooms, except_, flags = options
    written: dict[str, Any] = {}
    if flags is not PLAIN:
        if flags.volatile:
            written["volatile"] = True
        if not flags.compress:
            written["compress"] = False
        if flags.timeout is not None:
            written["timeout"] = round(flags.timeout * 1000)
        if flags.binary is not None:
            written["binary"] = flags.binary
    return {"rooms": list(rooms), "except": list(except_), "flags": written}


def read_options(data: Mapping[str, Any]) -> BroadcastOptions:
    """The same of a message; what is missing is empty.

    :raises BusError: for what cannot be.
    """
    options = data.get("opts")
    if not isinstance(options, dict):
        raise BusError("no options")
    flags = options.get("flags")
    if flags is None or flags == {}:
        read = PLAIN
    elif isinstance(flags, dict):
        timeout, binary = flags.get("timeout"), flags.get("binary")
        if timeout is not None and (type(timeout) not in (int, float) or not 0 <= timeout < 1e10):
            raise BusError("timeout is not a number of milliseconds")
        read = BroadcastFlags(
            volatile=bool(flags.get("volatile")),
            compress=flags.get("compress") is not False,
            timeout=None if timeout is None else timeout / 1000,
            binary=None if binary is None else bool(binary),
        )
    else:
        raise BusError("flags are not a mapping")
    rooms = read_names(options, "rooms")
    except_ = read_names(options, "except") if "except" in options else []
    return BroadcastOptions(frozenset(rooms), frozenset(except_), read)
