"""A slow and obvious Socket.IO packet codec on stdlib json: the oracle of the differential tests.

It shares no code and no method with the compiled one: a regular expression reads the header, recursion walks
the values. It follows the same rules, including those that are stricter than socket.io-parser.
"""

from __future__ import annotations

import json
import re
from typing import Any

RESERVED = {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
HEADER = re.compile(
    r"(?P<type>[0-6])"
    r"(?:(?<=[56])(?P<count>[0-9]{1,16})-|(?<![56]))"
    r"(?:(?P<nsp>/[^,]*)(?:,|\Z))?"
    r"(?P<id>[0-9]{1,16}(?![0-9]))?"
    r"(?P<json>[^0-9\x00-\x20].*)?",
    re.DOTALL,
)
LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Refused(Exception):
    """Not a packet."""


def encode(type_: int, nsp: str = "/", data: Any = None, id_: int | None = None) -> list[Any]:
    """The messages of a packet whose type its content decides."""
    attachments: list[bytes] = []
    if type_ in (2, 3):
        data = take_out(data, attachments)
    text = str(type_ + 3 if attachments else type_)
    if attachments:
        text += f"{len(attachments)}-"
    if nsp != "/":
        text += nsp + ","
    if id_ is not None:
        text += str(id_)
    if data is not None:
        text += LONE_SURROGATE.sub(
            lambda match: f"\\u{ord(match[0]):04x}",
            json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False),
        )
    return [text, *attachments]


def take_out(value: Any, attachments: list[bytes]) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        attachments.append(bytes(value))
        return {"_placeholder": True, "num": len(attachments) - 1}
    if isinstance(value, (list, tuple)):
        return [take_out(item, attachments) for item in value]
    if isinstance(value, dict):
        return {key: take_out(item, attachments) for key, item in value.items()}
    return value


def decode(messages: list[Any], protocol: int, max_attachments: int = 10) -> tuple[list[Any], bool, bool]:
    """``([(type, nsp, data, id), ...], refused, pending)`` of the messages of one connection."""
    packets: list[Any] = []
    messages = list(messages)
    while messages:
        try:
            head = messages.pop(0)
            if not isinstance(head, str):
                raise Refused
            type_, nsp, data, id_, count = decode_text(head, protocol, max_attachments)
            attachments = []
            while count > len(attachments) and messages:
                if isinstance(messages[0], str):
                    raise Refused
                attachments.append(messages.pop(0))
            if count > len(attachments):
                return packets, False, True
            if count:
                data = put_back(data, attachments, set())
                if protocol == 5:
                    type_ -= 3
            packets.append((type_, nsp, data, id_))
        except Refused:
            return packets, True, False
    return packets, False, False


def decode_text(text: str, protocol: int, max_attachments: int) -> tuple[int, str, Any, int | None, int]:
    if protocol == 4 and text and text[0] not in "0123456" and text[0] > " ":
        digit = text[0] if text[0] in "789" else "NaN"
        return 4, "", f"parser error: unknown packet type {digit}", None, 0
    match = HEADER.fullmatch(text)
    if match is None:
        raise Refused
    if match["nsp"] and LONE_SURROGATE.search(match["nsp"]):
        raise Refused
    type_ = int(match["type"])
    count = 0
    if match["count"]:
        count = int(match["count"])
        if not 1 <= count <= max_attachments:
            raise Refused
    data = None
    if match["json"]:
        try:
            data = json.loads(match["json"], parse_int=number, parse_constant=refuse)
        except (ValueError, RecursionError):
            raise Refused from None
        if not has_shape(type_, data, protocol):
            raise Refused
    return type_, match["nsp"] or "/", data, int(match["id"]) if match["id"] else None, count


def number(digits: str) -> int | float:
    value = int(digits)
    return value if -(2**63) <= value < 2**64 else float(digits)


def refuse(name: str) -> None:
    raise Refused


def has_shape(type_: int, data: Any, protocol: int) -> bool:
    if type_ in (2, 5):
        if type(data) is not list or not data:
            return False
        return type(data[0]) in (int, float) or (type(data[0]) is str and data[0] not in RESERVED)
    allowed: dict[int, tuple[type, ...]] = {0: (dict,), 1: (), 3: (list,), 4: (dict, str), 6: (list,)}
    if protocol == 4:
        allowed[0] += (list, type(None))
        allowed[4] += (list, type(None))
    return type(data) in allowed[type_]


def put_back(value: Any, attachments: list[bytes], used: set[int]) -> Any:
    if isinstance(value, list):
        return [put_back(item, attachments, used) for item in value]
    if isinstance(value, dict):
        if value.get("_placeholder") is True:
            number = value.get("num")
            if type(number) is not int or number not in range(len(attachments)) or number in used:
                raise Refused
            used.add(number)
            return attachments[number]
        return {key: put_back(item, attachments, used) for key, item in value.items()}
    return value
