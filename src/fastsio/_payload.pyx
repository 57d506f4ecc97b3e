# cython: language_level=3, freethreading_compatible=True
"""Engine.IO packets and polling payloads, protocols 3 and 4.

A packet is a pair ``(type, data)``: `data` is ``str`` for text, ``bytes`` for binary and ``None`` for a text
packet without any. Encoders size their output first and write it into one allocation; decoders walk the
input once. No length read from the wire is ever used to allocate.
"""

from enum import IntEnum
from re import compile as _compile

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.number cimport PyNumber_Index
from cpython.unicode cimport (
    PyUnicode_AsUTF8AndSize,
    PyUnicode_DATA,
    PyUnicode_DecodeUTF8,
    PyUnicode_FromObject,
    PyUnicode_GET_LENGTH,
    PyUnicode_KIND,
    PyUnicode_READ,
    PyUnicode_READ_CHAR,
    PyUnicode_Substring,
)
from libc.string cimport memchr, memcpy

from fastsio._base64 cimport base64_size, decode_base64, decode_base64_text, write_base64
from fastsio._digits cimport digit_count, write_digits
from fastsio.exceptions import PacketError, PayloadTooLarge

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

__all__ = [
    "EnginePacketType",
    "decode_engine_packet",
    "decode_payload",
    "encode_engine_packet",
    "encode_payload",
]


class EnginePacketType(IntEnum):
    """Packet types of Engine.IO, the same in protocols 3 and 4."""

    OPEN = 0
    CLOSE = 1
    PING = 2
    PONG = 3
    MESSAGE = 4
    UPGRADE = 5
    NOOP = 6


cdef enum:
    LAST_TYPE = 6
    SEPARATOR = 0x1E
    LENGTH_END = 255            # closes the length digits of protocol 3's binary framing
    MAX_LENGTH_DIGITS = 310     # the reference parser's bound for them
    INLINE_PARTS = 16           # payloads of up to so many packets need no allocation besides the result

cdef enum Framing:
    SEPARATED                   # protocol 4
    TEXT_LENGTHS                # protocol 3, lengths in UTF-16 code units
    BYTE_LENGTHS                # protocol 3, a payload that holds binary packets

# One packet of a payload being encoded. `data` belongs to an object that the caller of fill_part keeps alive.
cdef struct Part:
    const unsigned char* data
    Py_ssize_t size             # bytes at data
    Py_ssize_t length           # what the length prefix says, protocol 3
    int type
    bint binary

cdef tuple DIGITS = tuple("0123456")
cdef object LONE_SURROGATE = _compile(r"[\ud800-\udfff]")

# Values of the API to what goes on the wire

cdef int packet_type(object value) except -1:
    """A packet type given by the application."""
    cdef long long number
    try:
        number = PyNumber_Index(value)
    except (TypeError, OverflowError) as error:
        raise PacketError(f"no Engine.IO packet type: {value!r}") from error
    if not 0 <= number <= LAST_TYPE:
        raise PacketError(f"no Engine.IO packet type: {value!r}")
    return <int>number


cdef int check_protocol(int protocol) except -1:
    if protocol != 3 and protocol != 4:
        raise PacketError(f"no Engine.IO protocol {protocol}, only 3 and 4")
    return 0


cdef bytes to_bytes(object data):
    """The content of a bytes-like object; the object itself if it is immutable."""
    if type(data) is bytes:
        return <bytes>data
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise PacketError(f"data of a packet is text or bytes, not {type(data).__name__}")
    try:
        return bytes(data)
    except (BufferError, ValueError) as error:
        raise PacketError(f"unreadable data: {error}") from error


cdef str without_lone_surrogates(str text):
    """As JavaScript writes the string in UTF-8: pairs joined, lone surrogates replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


cdef object engine_packet(int type_, object data, int protocol, bint binary):
    """encode_engine_packet with its arguments checked, except the data."""
    cdef bytes content, result
    cdef unsigned char* out
    cdef Py_ssize_t prefix
    if data is None:
        return DIGITS[type_]
    if isinstance(data, str):
        return <str>DIGITS[type_] + <str>data
    content = to_bytes(data)
    if protocol == 4:
        if type_ != 4:
            raise PacketError("only messages may be binary in protocol 4")
        if binary:
            return content
        prefix = 1
    elif binary:
        result = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(content) + 1)
        out = <unsigned char*>PyBytes_AS_STRING(result)
        out[0] = <unsigned char>type_
        memcpy(out + 1, PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content))
        return result
    else:
        prefix = 2
    result = PyBytes_FromStringAndSize(NULL, prefix + base64_size(PyBytes_GET_SIZE(content)))
    out = <unsigned char*>PyBytes_AS_STRING(result)
    out[0] = c"b"
    if prefix == 2:
        out[1] = <unsigned char>(c"0" + type_)
    write_base64(
        out + prefix, <const unsigned char*>PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content)
    )
    return result.decode("ascii")


cdef tuple parse_text(str text, int protocol):
    """A packet from its text form."""
    cdef Py_ssize_t n = PyUnicode_GET_LENGTH(text)
    cdef unsigned int first, second
    if n == 0:
        raise PacketError("empty packet")
    first = PyUnicode_READ_CHAR(text, 0)
    if c"0" <= first <= c"6":
        return (<int>(first - c"0"), None if n == 1 else PyUnicode_Substring(text, 1, n))
    if first != c"b":
        raise PacketError("unknown packet type")
    if protocol == 4:
        return (4, decode_base64_text(text, 1))
    if n == 1:
        return (None, b"")
    second = PyUnicode_READ_CHAR(text, 1)
    # An unknown type is no error here: the reference delivers a packet without type, and ignores it.
    return (<int>(second - c"0") if c"0" <= second <= c"6" else None, decode_base64_text(text, 2))


cdef tuple parse_binary3(const unsigned char* data, Py_ssize_t n):
    """A packet from protocol 3's binary form: one byte of type, then the data."""
    if n == 0:
        return (None, b"")
    return (<int>data[0] if data[0] <= LAST_TYPE else None, (<const char*>data)[1:n])


def encode_engine_packet(type, data=None, int protocol=4, bint binary=True):
    """One packet as the text or the bytes of one WebSocket message (Engine.IO protocol, "Packet encoding").

    Args:
        type: 0-6, see EnginePacketType.
        data: text, a bytes-like object or None. Empty text and None encode the same.
        protocol: Engine.IO protocol, 3 or 4.
        binary: whether the peer takes binary; if not, bytes become base64 text.

    Returns:
        ``str`` for text, ``bytes`` for binary. Lone surrogates are left as they are.

    Raises:
        PacketError: no such type or protocol, data that is neither text nor bytes, or, in protocol 4, bytes
            in a packet that is not a message.
    """
    check_protocol(protocol)
    return engine_packet(packet_type(type), data, protocol, binary)


def decode_engine_packet(data, int protocol=4):
    """A packet from one WebSocket message.

    Args:
        data: ``str`` of a text message, or the bytes of a binary one.
        protocol: Engine.IO protocol, 3 or 4.

    Returns:
        ``(type, data)``. Text without data gives None. In protocol 3 an empty binary message or one of
        unknown type gives the type None: ignore it, as the reference does. In protocol 4 whatever is binary
        is a message.

    Raises:
        PacketError: empty text or an unknown type.
    """
    cdef bytes content
    check_protocol(protocol)
    if isinstance(data, str):
        return parse_text(PyUnicode_FromObject(data), protocol)
    content = to_bytes(data)
    if protocol == 4:
        return (4, content)
    return parse_binary3(<const unsigned char*>PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content))


# Payloads: encoding

cdef inline Py_ssize_t utf16_units(const unsigned char* data, Py_ssize_t n) noexcept nogil:
    """UTF-16 code units of n bytes of valid UTF-8: one per character, two outside the BMP."""
    cdef Py_ssize_t i, units = 0
    for i in range(n):
        units += ((data[i] & 0xC0) != 0x80) + (data[i] >= 0xF0)
    return units


cdef int fill_part(Part* part, object packet, int protocol, list keep) except -1:
    """Describe a packet; what has to be made for it is appended to `keep`, whose owner outlives the part."""
    cdef object data
    cdef Py_ssize_t size = 0
    if not (isinstance(packet, tuple) and len(<tuple>packet) == 2):
        raise PacketError("a packet is a tuple (type, data)")
    part.type = packet_type((<tuple>packet)[0])
    data = (<tuple>packet)[1]
    part.binary = False
    if data is None:
        part.data = NULL
        part.size = 0
        return 0
    if isinstance(data, str):
        try:
            part.data = <const unsigned char*>PyUnicode_AsUTF8AndSize(data, &size)
        except UnicodeEncodeError:
            data = without_lone_surrogates(PyUnicode_FromObject(data))
            keep.append(data)
            part.data = <const unsigned char*>PyUnicode_AsUTF8AndSize(data, &size)
        part.size = size
        return 0
    if protocol == 4 and part.type != 4:
        raise PacketError("only messages may be binary in protocol 4")
    part.binary = True
    if type(data) is not bytes:
        data = to_bytes(data)
        keep.append(data)
    part.data = <const unsigned char*>PyBytes_AS_STRING(data)
    part.size = PyBytes_GET_SIZE(data)
    return 0


cdef Py_ssize_t measure(Part* part, Framing framing) noexcept nogil:
    """Set the length prefix; returns the bytes the packet takes in the payload, without separator."""
    cdef Py_ssize_t body
    if framing == BYTE_LENGTHS:
        part.length = 1 + part.size
        return 2 + digit_count(part.length) + part.length
    if framing == SEPARATED:
        return 1 + (base64_size(part.size) if part.binary else part.size)
    if part.binary:
        body = part.length = 2 + base64_size(part.size)
    else:
        body = 1 + part.size
        part.length = 1 + utf16_units(part.data, part.size)
    return digit_count(part.length) + 1 + body


cdef unsigned char* write_part(unsigned char* out, const Part* part, Framing framing) noexcept nogil:
    """Write a packet as `measure` measured it; returns the end."""
    if framing == BYTE_LENGTHS:
        out[0] = part.binary
        out = write_digits(out + 1, part.length, 0)
        out[0] = LENGTH_END
        out[1] = <unsigned char>(part.type if part.binary else c"0" + part.type)
        out += 2
    else:
        if framing == TEXT_LENGTHS:
            out = write_digits(out, part.length, c"0")
            out[0] = c":"
            out += 1
        if part.binary:
            out[0] = c"b"
            out += 1
            if framing == TEXT_LENGTHS:
                out[0] = <unsigned char>(c"0" + part.type)
                out += 1
            write_base64(out, part.data, part.size)
            return out + base64_size(part.size)
        out[0] = <unsigned char>(c"0" + part.type)
        out += 1
    if part.size:
        memcpy(out, part.data, part.size)
    return out + part.size


cdef bytes join_parts(tuple packets, int protocol, bint binary, Part* parts):
    """The payload of the packets; `parts` has room for as many."""
    cdef Py_ssize_t n = len(packets), i, size, total = 0
    cdef Framing framing = SEPARATED if protocol == 4 else TEXT_LENGTHS
    cdef list keep = []
    cdef bytes result
    cdef unsigned char* out
    for i in range(n):
        fill_part(&parts[i], packets[i], protocol, keep)
        if parts[i].binary and binary and protocol == 3:
            framing = BYTE_LENGTHS
    for i in range(n):
        # Reachable with 32-bit sizes only, but there by repeating one packet: base64 and prefixes add at most
        # half of the data plus two dozen bytes.
        if parts[i].size > (PY_SSIZE_T_MAX - total) // 2 - 32:
            raise PacketError("payload too large")
        size = measure(&parts[i], framing)
        total += size + (framing == SEPARATED and i > 0)
    result = PyBytes_FromStringAndSize(NULL, total)
    out = <unsigned char*>PyBytes_AS_STRING(result)
    for i in range(n):
        if framing == SEPARATED and i > 0:
            out[0] = SEPARATOR
            out += 1
        out = write_part(out, &parts[i], framing)
    return result


cpdef bytes encode_payload(packets, int protocol=4, bint binary=True):
    """The body of a polling response or request (Engine.IO protocol, "Payload encoding").

    Protocol 4 joins the packets with U+001E; bytes become base64. Protocol 3 puts a length before each: text
    framing, unless `binary` is set and a packet holds bytes. Send that one as ``application/octet-stream``.

    Args:
        packets: sequence of ``(type, data)`` tuples, data as for encode_engine_packet.
        protocol: Engine.IO protocol, 3 or 4.
        binary: protocol 3: whether the session takes binary framing. Of no effect in protocol 4.

    Returns:
        The body. Lone surrogates are written as U+FFFD, as JavaScript does.

    Raises:
        PacketError: as encode_engine_packet.
    """
    # A tuple of tuples: nobody can take the data away while we point into it.
    cdef tuple items = tuple(packets)
    cdef Py_ssize_t n = len(items)
    cdef Part[INLINE_PARTS] inline_parts
    cdef Part* parts = inline_parts
    check_protocol(protocol)
    if n == 0:
        return b"0:" if protocol == 3 else b""
    if n > INLINE_PARTS:
        if <size_t>n > <size_t>PY_SSIZE_T_MAX // sizeof(Part):
            raise MemoryError
        parts = <Part*>PyMem_Malloc(<size_t>n * sizeof(Part))
        if parts == NULL:
            raise MemoryError
    try:
        return join_parts(items, protocol, binary, parts)
    finally:
        if parts != inline_parts:
            PyMem_Free(parts)


# Payloads: decoding

cdef int count_packet(list packets, Py_ssize_t max_packets) except -1:
    """Refuse one packet more than max_packets, if that is set."""
    if max_packets > 0 and len(packets) >= max_packets:
        raise PayloadTooLarge(len(packets) + 1, max_packets, "max_packets_per_payload", unit="packets")
    return 0


cdef int decode_separated(
    const unsigned char* data, Py_ssize_t n, Py_ssize_t max_packets, list packets
) except -1:
    """Protocol 4. Splitting before decoding is sound: 0x1E is no part of a longer UTF-8 sequence."""
    cdef const unsigned char* end
    cdef const unsigned char* stop = data + n
    cdef unsigned char first
    while True:
        end = <const unsigned char*>memchr(data, SEPARATOR, stop - data) if data < stop else NULL
        if end == NULL:
            end = stop
        if end == data:
            raise PacketError("empty packet")
        count_packet(packets, max_packets)
        first = data[0]
        if c"0" <= first <= c"6":
            packets.append((
                <int>(first - c"0"),
                None if end - data == 1 else PyUnicode_DecodeUTF8(<char*>data + 1, end - data - 1, "replace"),
            ))
        elif first == c"b":
            packets.append((4, decode_base64(data + 1, end - data - 1)))
        else:
            raise PacketError("unknown packet type")
        if end == stop:
            return 0
        data = end + 1


cdef int decode_text_lengths(str text, Py_ssize_t max_packets, list packets) except -1:
    """Protocol 3, text framing: ``<UTF-16 code units>:<packet>`` repeated."""
    cdef Py_ssize_t n = PyUnicode_GET_LENGTH(text), i = 0, start, end
    cdef int kind = PyUnicode_KIND(text)
    cdef void* chars = PyUnicode_DATA(text)
    cdef unsigned long long length, units
    cdef unsigned int char = 0
    if n == 0:
        raise PacketError("empty payload")
    while i < n:
        start = i
        length = 0
        while i < n:
            char = PyUnicode_READ(kind, chars, i)
            if not c"0" <= char <= c"9":
                break
            length = length * 10 + (char - c"0")
            # At most two units per character. Checked at each digit, so the product cannot overflow.
            if length > 2 * <unsigned long long>n:
                raise PacketError("length beyond the end of the payload")
            i += 1
        if i == start or i == n or char != c":":
            raise PacketError("malformed length")
        i += 1
        if length == 0:
            continue
        count_packet(packets, max_packets)
        if kind < 4:
            if length > <unsigned long long>(n - i):
                raise PacketError("length beyond the end of the payload")
            end = i + <Py_ssize_t>length
        else:
            end = i
            units = 0
            while units < length and end < n:
                units += 1 + (PyUnicode_READ(kind, chars, end) > 0xFFFF)
                end += 1
            if units != length:
                raise PacketError("length beyond the end of the payload, or inside a surrogate pair")
        packets.append(parse_text(PyUnicode_Substring(text, i, end), 3))
        i = end
    return 0


cdef str decode_framed_text(const unsigned char* data, Py_ssize_t n):
    """Text of protocol 3's binary framing: strict UTF-8, except that encoded surrogates read as U+FFFD."""
    try:
        return PyUnicode_DecodeUTF8(<char*>data, n, NULL)
    except UnicodeDecodeError:
        pass
    try:
        return LONE_SURROGATE.sub("\ufffd", PyUnicode_DecodeUTF8(<char*>data, n, "surrogatepass"))
    except UnicodeDecodeError as error:
        raise PacketError("invalid UTF-8") from error


cdef int decode_byte_lengths(
    const unsigned char* data, Py_ssize_t n, Py_ssize_t max_packets, list packets
) except -1:
    """Protocol 3, binary framing: kind, digits of the length as bytes 0-9, 255, packet; repeated."""
    cdef Py_ssize_t i = 0, start
    cdef unsigned long long length
    cdef bint binary
    while i < n:
        count_packet(packets, max_packets)
        binary = data[i] != 0
        i += 1
        start = i
        length = 0
        while i < n and data[i] != LENGTH_END:
            if data[i] > 9 or i - start >= MAX_LENGTH_DIGITS:
                raise PacketError("malformed length")
            length = length * 10 + data[i]
            if length > <unsigned long long>n:
                raise PacketError("length beyond the end of the payload")
            i += 1
        if i == n or i == start:
            raise PacketError("malformed length")
        i += 1
        if length > <unsigned long long>(n - i):
            raise PacketError("length beyond the end of the payload")
        if binary:
            packets.append(parse_binary3(data + i, <Py_ssize_t>length))
        else:
            packets.append(parse_text(decode_framed_text(data + i, <Py_ssize_t>length), 3))
        i += <Py_ssize_t>length
    return 0


cpdef list decode_payload(body, int protocol=4, bint binary=False, Py_ssize_t max_packets=0):
    """The packets of a polling body, in order.

    Args:
        body: bytes-like. In a text body invalid UTF-8 reads as U+FFFD.
        protocol: Engine.IO protocol, 3 or 4.
        binary: protocol 3: the content type is ``application/octet-stream``, which means binary framing.
        max_packets: refuse more packets than this; 0 means any number.

    Returns:
        List of ``(type, data)``, as decode_engine_packet gives them. A close packet does not end it.

    Raises:
        PayloadTooLarge: more than `max_packets` packets.
        PacketError: an undecodable element. Its ``packets`` holds what came before.
    """
    cdef list packets = []
    cdef Py_buffer view
    check_protocol(protocol)
    if binary and protocol == 4:
        raise PacketError("protocol 4 has no binary payloads")
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise PacketError(f"a payload is bytes, not {type(body).__name__}")
    try:
        PyObject_GetBuffer(body, &view, PyBUF_SIMPLE)
    except (BufferError, ValueError) as error:
        raise PacketError(f"unreadable data: {error}") from error
    try:
        if protocol == 4:
            decode_separated(<const unsigned char*>view.buf, view.len, max_packets, packets)
        elif binary:
            decode_byte_lengths(<const unsigned char*>view.buf, view.len, max_packets, packets)
        else:
            decode_text_lengths(
                PyUnicode_DecodeUTF8(<char*>view.buf, view.len, "replace") if view.len else "",
                max_packets,
                packets,
            )
    except PacketError as error:
        error.packets = packets
        raise
    finally:
        PyBuffer_Release(&view)
    return packets
