# cython: language_level=3, freethreading_compatible=True
"""JSON as JavaScript reads and prints it, with bytes as attachments.

orjson does the work. What it refuses although JavaScript sends or prints it (lone surrogates, numbers beyond
64 bits, keys that are not strings) takes a slow path.
"""

cimport cython
from cpython.buffer cimport PyBUF_READ
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.list cimport PyList_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.unicode cimport PyUnicode_DecodeUTF8

from fastsio._plain cimport PLACEHOLDER, PLAIN_LIMIT, load_plain

import dataclasses
import datetime
import json
import re
from array import array
from decimal import Decimal
from enum import Enum
from json.encoder import encode_basestring
from uuid import UUID

import orjson

from fastsio.exceptions import PacketError

cdef enum:
    # orjson reads 1024 levels; the slow path reads and writes no more, whatever the stack would allow.
    MAX_DEPTH = 1024
    # Below this a copy is cheaper than the memoryview object that would save it.
    COPY_LIMIT = 4096
    CACHED_PLACEHOLDERS = 32

BYTES_LIKE = (bytes, bytearray, memoryview, array)
cdef tuple _BYTES_LIKE = BYTES_LIKE
cdef object _dumps = orjson.dumps
cdef object _loads = orjson.loads
cdef object _Fragment = orjson.Fragment
# Dates go to the callback, since JavaScript prints them its own way.
cdef object _OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME
cdef object _LONE_SURROGATE = re.compile("[\ud800-\udfff]")
cdef object _UTC = datetime.timezone.utc


cdef bytes _placeholder(Py_ssize_t number):
    return PLACEHOLDER + b"%d}" % number


cdef tuple _PLACEHOLDERS = tuple([_Fragment(_placeholder(number)) for number in range(CACHED_PLACEHOLDERS)])


# ----------------------------------------------------------------------------------- printing


@cython.final
@cython.freelist(16)
@cython.no_gc  # lives for one call and holds bytes only
cdef class Attachments:
    """orjson's callback of one encoding: collects bytes in traversal order, prints what JavaScript prints."""

    def __call__(self, object value):
        return self.replace(value)

    cdef object replace(self, object value):
        cdef Py_ssize_t number
        if isinstance(value, _BYTES_LIKE):
            if self.as_json:
                return {"type": "Buffer", "data": list(bytes(value))}
            number = self.add(value)
            if number < CACHED_PLACEHOLDERS:
                return _PLACEHOLDERS[number]
            return _Fragment(_placeholder(number))
        if isinstance(value, float):
            return float(value)
        if isinstance(value, tuple):
            return list(value)
        if isinstance(value, (datetime.date, datetime.time)):
            return _iso(value)
        raise TypeError(f"cannot encode {type(value).__name__}")

    cdef Py_ssize_t add(self, object value) except -1:
        """Keep a snapshot of a bytes-like and return its number."""
        if self.found is None:
            self.found = []
        self.found.append(value if type(value) is bytes else bytes(value))
        return PyList_GET_SIZE(self.found) - 1


cdef str _iso(object value):
    """A date as JavaScript's toISOString prints it; naive ones are UTC."""
    if not isinstance(value, datetime.datetime):
        return value.isoformat()
    if value.tzinfo is not None:
        value = value.astimezone(_UTC).replace(tzinfo=None)
    return value.isoformat(timespec="milliseconds") + "Z"


cdef str _js_number(object value):
    """A float as JavaScript's String() prints it."""
    cdef str text = float.__repr__(value)
    if text in ("nan", "inf", "-inf"):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[text]
    if text.endswith(".0"):
        text = text[:-2]
    if text == "-0":
        return "0"
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    if -7 < int(exponent) < 21:
        return format(Decimal(text), "f")
    return f"{mantissa.removesuffix('.0')}e{int(exponent):+d}"


cdef str _js_key(object key):
    """A dict key as JavaScript prints the property name."""
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, str):
        return str.__str__(key)
    if key is None:
        return "null"
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int):
        return int.__repr__(key)
    if isinstance(key, float):
        return _js_number(key)
    if isinstance(key, UUID):
        return str(key)
    raise TypeError(f"cannot encode a key of type {type(key).__name__}")


cdef int _write(object value, list out, Attachments attachments, int depth) except -1:
    """Append the JSON of a value to `out`: the slow path, which knows everything that JavaScript prints."""
    if depth > MAX_DEPTH:
        raise ValueError(f"more than {MAX_DEPTH} levels, or a cycle")
    if isinstance(value, Enum):
        return _write(value.value, out, attachments, depth + 1)
    if value is None:
        out.append("null")
    elif isinstance(value, bool):
        out.append("true" if value else "false")
    elif isinstance(value, str):
        out.append(encode_basestring(value))
    elif isinstance(value, int):
        out.append(int.__repr__(value))
    elif isinstance(value, float):
        # NaN and the infinities have no JSON form; JSON.stringify prints null. A whole float keeps its ".0",
        # as orjson prints it, and is a float again in Python.
        out.append(float.__repr__(value) if value - value == 0 else "null")
    elif isinstance(value, (list, tuple)):
        _write_array(value, out, attachments, depth)
    elif isinstance(value, dict):
        _write_object(value, out, attachments, depth)
    elif isinstance(value, UUID):
        out.append(f'"{value}"')
    elif isinstance(value, _Fragment):
        out.append(orjson.dumps(value).decode())
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        # As orjson does: fields in order, private ones left out.
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        _write_object({k: v for k, v in fields.items() if k[0] != "_"}, out, attachments, depth)
    elif isinstance(value, _BYTES_LIKE) and not attachments.as_json:
        out.append(_placeholder(attachments.add(value)).decode())
    else:
        return _write(attachments.replace(value), out, attachments, depth + 1)
    return 0


cdef int _write_array(object values, list out, Attachments attachments, int depth) except -1:
    cdef bint first = True
    out.append("[")
    for value in values:
        if not first:
            out.append(",")
        first = False
        _write(value, out, attachments, depth + 1)
    out.append("]")
    return 0


cdef int _write_object(object values, list out, Attachments attachments, int depth) except -1:
    cdef bint first = True
    out.append("{")
    for key, value in values.items():
        if not first:
            out.append(",")
        first = False
        out.append(encode_basestring(_js_key(key)))
        out.append(":")
        _write(value, out, attachments, depth + 1)
    out.append("}")
    return 0


def _escape_surrogate(match):
    return f"\\u{ord(match[0]):04x}"


cdef bytes _dumps_slow(object value, Attachments attachments):
    """JSON of what orjson refused; PacketError for what JavaScript has no form of."""
    cdef list out = []
    cdef str text
    attachments.found = None
    try:
        _write(value, out, attachments, 1)
        text = "".join(out)
        try:
            return text.encode()
        except UnicodeEncodeError:
            # Halves that stand side by side are one character; the others JSON.stringify escapes.
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
            return _LONE_SURROGATE.sub(_escape_surrogate, text).encode()
    except MemoryError:
        raise
    except Exception as error:
        raise PacketError(f"cannot encode packet: {error}") from error


cdef bytes dump(object value, Attachments attachments):
    try:
        return _dumps(value, attachments, _OPTIONS)
    except TypeError:
        return _dumps_slow(value, attachments)


# ------------------------------------------------------------------------------------ reading


def _refuse_constant(name):
    raise ValueError(f"{name} is not JSON")


def _parse_int(digits):
    # As orjson and JavaScript: beyond 64 bits an integer is a float. Keeps clear of the quadratic int() too.
    if len(digits) <= 20:
        value = int(digits)
        if -(1 << 63) <= value < 1 << 64:
            return value
    return float(digits)


cdef object _slow_decoder = json.JSONDecoder(parse_int=_parse_int, parse_constant=_refuse_constant)


@cython.boundscheck(False)
@cython.wraparound(False)
cdef bint _too_deep(const char* text, Py_ssize_t size) noexcept nogil:
    """Whether brackets outside strings nest deeper than MAX_DEPTH."""
    cdef Py_ssize_t i = 0
    cdef int depth = 0
    cdef bint quoted = False
    cdef char c
    while i < size:
        c = text[i]
        if quoted:
            if c == c"\\":
                i += 1
            elif c == c'"':
                quoted = False
        elif c == c'"':
            quoted = True
        elif c == c"[" or c == c"{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif c == c"]" or c == c"}":
            depth -= 1
        i += 1
    return False


cdef object _loads_slow(const char* text, Py_ssize_t size, const char* errors, object cause):
    """What orjson refused: lone surrogates and numbers out of its range are JSON to JavaScript."""
    if _too_deep(text, size):
        raise PacketError(f"invalid payload: more than {MAX_DEPTH} levels") from cause
    try:
        return _slow_decoder.decode(PyUnicode_DecodeUTF8(text, size, errors))
    except (ValueError, RecursionError) as error:
        raise PacketError(f"invalid payload: {error}") from error


cdef object load(const char* text, Py_ssize_t size, const char* errors):
    """The value of the JSON text, which the caller keeps alive."""
    cdef list plain
    try:
        if size <= PLAIN_LIMIT:
            plain = load_plain(text, size, errors)
            if plain is not None:
                return plain
        if size < COPY_LIMIT:
            return _loads(PyBytes_FromStringAndSize(text, size))
        return _loads(PyMemoryView_FromMemory(<char*>text, size, PyBUF_READ))
    except ValueError as error:
        return _loads_slow(text, size, errors, error)


cdef object load_with(object loads, const char* text, Py_ssize_t size, const char* errors):
    """The same by the application's own function, which may raise anything."""
    try:
        return loads(PyUnicode_DecodeUTF8(text, size, errors))
    except Exception as error:
        raise PacketError(f"invalid payload: {error}") from error
