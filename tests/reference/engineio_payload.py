"""A slow, obvious codec for Engine.IO packets and payloads: the oracle for fastsio._payload.

It works on lists of UTF-16 code units, as the JavaScript parsers do, and shares no code with the package.
A packet is (type, data), as there. An undecodable element raises Undecodable with the packets before it.
"""

from __future__ import annotations

from collections.abc import Iterable

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
Data = str | bytes | None
Decoded = tuple[int | None, Data]


class Undecodable(Exception):
    def __init__(self, packets: Iterable[Decoded] = ()) -> None:
        super().__init__("undecodable")
        self.packets = list(packets)


def units(text: str) -> list[int]:
    """UTF-16 code units of a string; surrogates in it stand for themselves."""
    out = []
    for char in map(ord, text):
        if char > 0xFFFF:
            out += [0xD800 + ((char - 0x10000) >> 10), 0xDC00 + ((char - 0x10000) & 0x3FF)]
        else:
            out.append(char)
    return out


def from_units(values: list[int]) -> str:
    """The string of code units, pairs joined."""
    out: list[str] = []
    i = 0
    while i < len(values):
        pair = values[i : i + 2]
        if len(pair) == 2 and 0xD800 <= pair[0] < 0xDC00 <= pair[1] < 0xE000:
            out.append(chr(0x10000 + ((pair[0] - 0xD800) << 10) + (pair[1] - 0xDC00)))
            i += 2
        else:
            out.append(chr(pair[0]))
            i += 1
    return "".join(out)


def wire(text: str) -> bytes:
    """UTF-8 as JavaScript writes it: lone surrogates become U+FFFD."""
    joined = from_units(units(text))
    return "".join("\ufffd" if 0xD800 <= ord(char) < 0xE000 else char for char in joined).encode()


def b64encode(data: bytes) -> str:
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 6)
    text = "".join(ALPHABET[int(bits[i : i + 6], 2)] for i in range(0, len(bits), 6))
    return text + "=" * (-len(text) % 4)


def b64decode(text: str) -> bytes:
    bits = ""
    for char in text.partition("=")[0]:
        char = {"-": "+", "_": "/"}.get(char, char)
        if char in ALPHABET:
            bits += f"{ALPHABET.index(char):06b}"
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits) - len(bits) % 8, 8))


def encode_packet(type_: int, data: Data, protocol: int, binary: bool) -> str | bytes:
    if not isinstance(data, bytes):
        return str(type_) + (data or "")
    if binary:
        return data if protocol == 4 else bytes([type_]) + data
    return "b" + ("" if protocol == 4 else str(type_)) + b64encode(data)


def decode_packet(data: str | bytes, protocol: int) -> Decoded:
    if isinstance(data, bytes):
        if protocol == 4:
            return 4, data
        return (data[0] if data and data[0] < 7 else None), data[1:]
    if data[:1] == "b":
        if protocol == 4:
            return 4, b64decode(data[1:])
        return (int(data[1]) if data[1:2] in tuple("0123456") else None), b64decode(data[2:])
    if data[:1] not in tuple("0123456"):
        raise Undecodable
    return int(data[0]), data[1:] or None


def encode_payload(packets: list[tuple[int, Data]], protocol: int, binary: bool) -> bytes:
    if protocol == 4:
        return b"\x1e".join(wire(str(encode_packet(t, d, 4, False))) for t, d in packets)
    if not packets:
        return b"0:"
    out = b""
    if binary and any(isinstance(data, bytes) for _, data in packets):
        for type_, data in packets:
            packet = encode_packet(type_, data, 3, True)
            body = packet if isinstance(packet, bytes) else wire(packet)
            out += bytes([isinstance(packet, bytes)]) + bytes(map(int, str(len(body)))) + b"\xff" + body
        return out
    for type_, data in packets:
        packet = str(encode_packet(type_, data, 3, False))
        out += f"{len(units(packet))}:".encode() + wire(packet)
    return out


def decode_payload(body: bytes, protocol: int, binary: bool) -> list[Decoded]:
    packets: list[Decoded] = []
    try:
        if protocol == 4:
            for element in body.decode("utf-8", "replace").split("\x1e"):
                packets.append(decode_packet(element, 4))
        elif binary:
            _decode_bytes(body, packets)
        else:
            _decode_units(units(body.decode("utf-8", "replace")), packets)
    except (Undecodable, UnicodeDecodeError):
        raise Undecodable(packets) from None
    return packets


def _decode_units(rest: list[int], packets: list[Decoded]) -> None:
    if not rest:
        raise Undecodable
    while rest:
        if ord(":") not in rest:
            raise Undecodable
        colon = rest.index(ord(":"))
        digits = rest[:colon]
        if not digits or any(not 0x30 <= unit <= 0x39 for unit in digits):
            raise Undecodable
        length = 0
        for digit in digits:
            length = length * 10 + digit - 0x30
        packet, rest = rest[colon + 1 :][:length], rest[colon + 1 :][length:]
        # No peer cuts a pair in two.
        if len(packet) < length or (packet and rest and 0xD800 <= packet[-1] < 0xDC00):
            raise Undecodable
        if packet:
            packets.append(decode_packet(from_units(packet), 3))


def _decode_bytes(rest: bytes, packets: list[Decoded]) -> None:
    while rest:
        digits, end, after = rest[1:].partition(b"\xff")
        if not end or not digits or len(digits) > 310 or max(digits) > 9:
            raise Undecodable
        length = 0
        for digit in digits:
            length = length * 10 + digit
        if length > len(after):
            raise Undecodable
        packet, rest, is_text = after[:length], after[length:], rest[0] == 0
        if is_text:
            text = packet.decode("utf-8", "surrogatepass")
            text = "".join("\ufffd" if 0xD800 <= ord(char) < 0xE000 else char for char in text)
            packets.append(decode_packet(text, 3))
        else:
            packets.append(decode_packet(packet, 3))
