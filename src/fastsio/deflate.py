"""permessage-deflate (RFC 7692): negotiation on both sides, and the two zlib streams of one connection.

wsproto's ``PerMessageDeflate`` holds what was agreed and writes the server's answer. It takes offers on
trust (unknown and repeated parameters pass, numbers that are none raise), so they are parsed and checked here
first; and its inflating has no limit, so that is done here too.
"""

from __future__ import annotations

import re
import sys
import zlib
from typing import TYPE_CHECKING, Final

from wsproto.extensions import PerMessageDeflate

from fastsio.exceptions import PacketError, PayloadTooLarge
from fastsio.options import DeflateOptions

if TYPE_CHECKING:
    # Names of the typeshed only; the classes have none at run time.
    from zlib import _Compress, _Decompress

__all__ = ["Deflate", "InflateError", "InflateTooLarge", "accept", "negotiate", "offer"]

# What a sender strips from the end of each message (RFC 7692 §7.2.1): an empty stored block, less its header.
_TAIL: Final = b"\x00\x00\xff\xff"

# One token, quoted token or separator of an extension list (RFC 6455 §9.1), and the spaces behind it. No two
# parts of the pattern can match the same text, so a header is read in linear time.
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PART: Final = re.compile(rf'(?:({_TOKEN})|"({_TOKEN})"|([,;=]))[ \t]*')
_WINDOW_BITS: Final = re.compile(r"[89]|1[0-5]", re.ASCII)
# The smallest window that zlib deflates with; it inflates with one of 8, too.
_LEAST_BITS: Final = 9


class InflateError(PacketError):
    """A compressed message that does not inflate; the connection is to be closed with 1007."""


class InflateTooLarge(PayloadTooLarge):
    """A message that inflates to more than it may; the connection is to be closed with 1009."""

    def __init__(self, limit: int) -> None:
        # The full size is not known: inflating stops with the first byte that is too much.
        super().__init__(limit + 1, limit, "max_http_buffer_size")


class Deflate:
    """Both directions of one connection. The zlib streams are made with the first message that needs them."""

    __slots__ = (
        "_compressor",
        "_decompressor",
        "_deflate_bits",
        "_deflate_reset",
        "_inflate_bits",
        "_inflate_reset",
        "_level",
        "_max_size",
        "_mem_level",
        "_threshold",
    )

    def __init__(
        self,
        parameters: PerMessageDeflate,
        *,
        client: bool = False,
        max_size: int = 1_000_000,
        threshold: int = 1024,
        level: int = -1,
        mem_level: int = 8,
    ) -> None:
        """:param parameters: what was negotiated.
        :param client: the role of this side.
        :param max_size: most bytes a message may inflate to.
        :param threshold: messages of fewer bytes are not compressed.
        """
        of_client = (parameters.client_max_window_bits, parameters.client_no_context_takeover)
        of_server = (parameters.server_max_window_bits, parameters.server_no_context_takeover)
        self._deflate_bits, self._deflate_reset = of_client if client else of_server
        self._inflate_bits, self._inflate_reset = of_server if client else of_client
        self._max_size = max_size
        # A second flush without data in between gives nothing, so an empty message cannot be compressed.
        self._threshold = max(threshold, 1)
        self._level = level
        self._mem_level = mem_level
        self._compressor: _Compress | None = None
        self._decompressor: _Decompress | None = None

    def inflate(self, payload: bytes, max_size: int | None = None) -> bytes:
        """The message that a compressed payload stands for (RFC 7692 §7.2.2).

        :param max_size: most bytes it may have, in place of the limit given at first.
        :raises InflateTooLarge: as soon as the output is one byte past the limit; no more of it is made.
        :raises InflateError: for data that does not inflate. After either the connection cannot go on.
        """
        limit = self._max_size if max_size is None else max_size
        stream = self._decompressor or zlib.decompressobj(-self._inflate_bits)
        self._decompressor = None
        try:
            message = stream.decompress(payload + _TAIL, min(limit, sys.maxsize - 1) + 1)
        except zlib.error as error:
            raise InflateError("a compressed message does not inflate") from error
        if len(message) > limit:
            raise InflateTooLarge(limit)
        if stream.eof:
            # The sender flushed with a final block (§7.2.3.4): the message ends with it, and so does its
            # context. Following such blocks through one message would let each cost a new zlib stream.
            if stream.unused_data not in (_TAIL, b"\x00" + _TAIL):
                raise InflateError("data behind the final block of a compressed message")
        elif not self._inflate_reset:
            self._decompressor = stream
        return message

    def deflate(self, payload: bytes) -> bytes | None:
        """The compressed payload of a message (RFC 7692 §7.2.1), or None if it is to be sent as it is."""
        if len(payload) < self._threshold:
            return None
        stream = self._compressor or zlib.compressobj(
            self._level, zlib.DEFLATED, -self._deflate_bits, self._mem_level
        )
        compressed = stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH)
        if not self._deflate_reset:
            self._compressor = stream
        return compressed[: -len(_TAIL)]


def negotiate(
    offer_header: str, options: DeflateOptions, max_size: int = 1_000_000
) -> tuple[str, Deflate] | None:
    """Answer a client's ``Sec-WebSocket-Extensions``, several of which are joined by commas.

    :param max_size: most bytes a message may inflate to.
    :returns: the value of the response header and the connection's streams, for the first offer that can be
        accepted (RFC 7692 §7.1); None if there is none, or the header is malformed.
    """
    for name, parameters in _parse_offers(offer_header):
        if name != PerMessageDeflate.name:
            continue
        offer = _agree(parameters, options)
        if offer is None:
            continue
        agreed = PerMessageDeflate()
        answer = agreed.accept("; ".join([name, *offer]))
        if isinstance(answer, str):
            deflate = Deflate(
                agreed,
                max_size=max_size,
                threshold=options.threshold,
                level=options.level,
                mem_level=options.mem_level,
            )
            return "; ".join(filter(None, [name, answer])), deflate
    return None


def offer(options: DeflateOptions) -> str:
    """A client's ``Sec-WebSocket-Extensions``."""
    parts = [PerMessageDeflate.name]
    parts += [
        name
        for name in ("server_no_context_takeover", "client_no_context_takeover")
        if getattr(options, name)
    ]
    if options.server_max_window_bits is not None:
        parts.append(f"server_max_window_bits={options.server_max_window_bits}")
    bits = options.client_max_window_bits
    parts.append("client_max_window_bits" if bits is None else f"client_max_window_bits={bits}")
    return "; ".join(parts)


def accept(answer_header: str, options: DeflateOptions, max_size: int) -> Deflate:
    """The streams of a client, from the server's answer to :func:`offer`.

    :param max_size: most bytes a message may inflate to.
    :raises PacketError: for an answer that no such offer allows; the connection cannot go on.
    """
    answers = _parse_offers(answer_header)
    parameters = dict(answers[0][1]) if answers else {}
    if (
        len(answers) != 1
        or answers[0][0] != PerMessageDeflate.name
        or len(parameters) != len(answers[0][1])
        or not all(_answers(name, value, options) for name, value in parameters.items())
    ):
        raise PacketError(f"the server chose extensions that were not offered: {answer_header[:100]!r}")
    client_bits = int(parameters.get("client_max_window_bits") or options.client_max_window_bits or 15)
    agreed = PerMessageDeflate(
        client_no_context_takeover=options.client_no_context_takeover
        or "client_no_context_takeover" in parameters,
        client_max_window_bits=max(client_bits, _LEAST_BITS),
        server_no_context_takeover="server_no_context_takeover" in parameters,
        server_max_window_bits=int(parameters.get("server_max_window_bits") or 15),
    )
    return Deflate(
        agreed,
        client=True,
        max_size=max_size,
        # What cannot be compressed for a window that small is sent as it is.
        threshold=options.threshold if client_bits >= _LEAST_BITS else sys.maxsize,
        level=options.level,
        mem_level=options.mem_level,
    )


def _answers(name: str, value: str | None, options: DeflateOptions) -> bool:
    """Whether a server may answer :func:`offer` with this parameter (RFC 7692 §7.1)."""
    if name in ("server_no_context_takeover", "client_no_context_takeover"):
        return value is None
    if name in ("server_max_window_bits", "client_max_window_bits"):
        most = getattr(options, name) or 15
        return value is not None and bool(_WINDOW_BITS.fullmatch(value)) and int(value) <= most
    return False


def _parse_offers(header: str) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """``(extension, [(parameter, value or None)])`` for each offer in order; nothing if any is malformed."""
    offers: list[tuple[str, list[tuple[str, str | None]]]] = []
    before = ","
    header = header.strip(" \t")
    position = 0
    while position < len(header):
        match = _PART.match(header, position)
        if match is None:
            return []
        position = match.end()
        token, quoted, separator = match.groups()
        if separator is None:
            if before == "," and token is not None:
                offers.append((token, []))
                before = "name"
            elif before == ";" and token is not None:
                offers[-1][1].append((token, None))
                before = "parameter"
            elif before == "=":
                name, _ = offers[-1][1].pop()
                offers[-1][1].append((name, token or quoted))
                before = "value"
            else:
                return []
        elif separator == "=":
            if before != "parameter":
                return []
            before = "="
        elif separator == ";":
            if before not in ("name", "parameter", "value"):
                return []
            before = ";"
        else:
            # Empty elements of a list are skipped (RFC 9110 §5.6.1).
            if before in (";", "="):
                return []
            before = ","
    return [] if before in (";", "=") else offers


def _agree(parameters: list[tuple[str, str | None]], options: DeflateOptions) -> list[str] | None:
    """The offer as far as the server takes it up, in wsproto's terms; None if it must be declined."""
    offered = dict(parameters)
    if len(offered) != len(parameters):
        return None
    taken = []
    for name in ("server_no_context_takeover", "client_no_context_takeover"):
        if offered.get(name) is not None:
            return None
        if name in offered or getattr(options, name):
            taken.append(name)
        offered.pop(name, None)

    bits = options.server_max_window_bits
    if "server_max_window_bits" in offered:
        value = offered.pop("server_max_window_bits")
        if value is None or not _WINDOW_BITS.fullmatch(value):
            return None
        bits = min(int(value), bits or 15)
    if bits is not None:
        taken.append(f"server_max_window_bits={bits}")

    bits = options.client_max_window_bits
    if "client_max_window_bits" in offered:
        value = offered.pop("client_max_window_bits")
        if value is not None:
            if not _WINDOW_BITS.fullmatch(value):
                return None
            bits = min(int(value), bits or 15)
        if bits is not None:
            taken.append(f"client_max_window_bits={bits}")
    elif bits is not None:
        # A client that does not offer it must not be sent it (RFC 7692 §7.1.2.2).
        return None
    return None if offered else taken
