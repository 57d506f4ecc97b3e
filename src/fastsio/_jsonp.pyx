# cython: language_level=3, freethreading_compatible=True
"""The JSONP wrapping of polling payloads: protocol 3 without CORS."""

from json.encoder import encode_basestring

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.string cimport memchr

__all__ = ["decode_jsonp_body", "encode_jsonp"]


def encode_jsonp(str index not None, bytes payload not None):
    """The script that hands a payload to a JSONP client: ``___eio[<index>]("<payload>");``.

    Args:
        index: the query parameter ``j``; only its ASCII digits are used, so no script can get in.
        payload: a text payload.

    Returns:
        The response body, to be sent as ``text/plain; charset=UTF-8`` as the reference does.
    """
    cdef str digits = "".join([char for char in index if c"0" <= char <= c"9"])
    cdef str literal = encode_basestring(payload.decode("utf-8", "replace"))
    # Line ends in JavaScript before ES2019, and not escaped by JSON.
    literal = literal.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return f"___eio[{digits}]({literal});".encode()


cdef inline int hex_value(unsigned char char) noexcept nogil:
    if c"0" <= char <= c"9":
        return char - c"0"
    char |= 0x20
    return char - c"a" + 10 if c"a" <= char <= c"f" else -1


cdef Py_ssize_t unescape_form(unsigned char* out, const unsigned char* data, Py_ssize_t n) noexcept nogil:
    """Undo form encoding into `out`, which has room for n bytes; bad escapes stay. Returns the size."""
    cdef Py_ssize_t i = 0, size = 0
    cdef int high, low
    while i < n:
        out[size] = c" " if data[i] == c"+" else data[i]
        if data[i] == c"%" and n - i >= 3:
            high = hex_value(data[i + 1])
            low = hex_value(data[i + 2])
            if high >= 0 and low >= 0:
                out[size] = <unsigned char>(high * 16 + low)
                i += 2
        i += 1
        size += 1
    return size


cdef Py_ssize_t unescape_newlines(unsigned char* data, Py_ssize_t n) noexcept nogil:
    r"""In place, `\n` becomes a newline and `\\n` becomes `\n`. Returns the size."""
    cdef Py_ssize_t i = 0, size = 0
    while i < n:
        data[size] = data[i]
        if data[i] == c"\\":
            if n - i >= 3 and data[i + 1] == c"\\" and data[i + 2] == c"n":
                size += 1
                data[size] = c"n"
                i += 2
            elif n - i >= 2 and data[i + 1] == c"n":
                data[size] = c"\n"
                i += 1
        i += 1
        size += 1
    return size


def decode_jsonp_body(bytes body not None):
    """The payload in the body of a JSONP client's POST (``application/x-www-form-urlencoded``, field ``d``).

    Form encoding is undone (bad escapes are kept), then the client's escaping of newlines.

    Args:
        body: the request body.

    Returns:
        The payload, or None if there is no field ``d`` or more than one: the reference answers such a request
        and ignores it.
    """
    cdef const unsigned char* data = <const unsigned char*>PyBytes_AS_STRING(body)
    cdef const unsigned char* stop = data + PyBytes_GET_SIZE(body)
    cdef const unsigned char* end
    cdef const unsigned char* value = NULL
    cdef const unsigned char* equals
    cdef Py_ssize_t n = 0, name
    cdef unsigned char* scratch
    while data < stop:
        end = <const unsigned char*>memchr(data, c"&", stop - data)
        if end == NULL:
            end = stop
        equals = <const unsigned char*>memchr(data, c"=", end - data)
        name = (end if equals == NULL else equals) - data
        # "%64" is "d" too.
        if (name == 1 and data[0] == c"d") or (name == 3 and data[:3] == b"%64"):
            if value != NULL:
                return None
            value = end if equals == NULL else equals + 1
            n = end - value
        data = end + 1
    if value == NULL:
        return None
    scratch = <unsigned char*>PyMem_Malloc(n + 1)
    if scratch == NULL:
        raise MemoryError
    try:
        n = unescape_form(scratch, value, n)
        n = unescape_newlines(scratch, n)
        return PyBytes_FromStringAndSize(<char*>scratch, n)
    finally:
        PyMem_Free(scratch)
