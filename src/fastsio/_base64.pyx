# cython: language_level=3, freethreading_compatible=True
"""Base64 of binary packets (Engine.IO protocol, "Packet encoding"), and session ids in the same letters."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeLatin1
from libc.string cimport memchr, memcpy, memset

__all__ = ["session_id"]

cdef enum:
    SKIP = 255                  # not a base64 letter

cdef unsigned char[64] LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
cdef unsigned char[256] SEXTETS


cdef int _fill_sextets() noexcept:
    """Base64 letters to their values, both alphabets: the reference decoder takes either."""
    cdef int i
    memset(SEXTETS, SKIP, 256)
    for i in range(64):
        SEXTETS[LETTERS[i]] = <unsigned char>i
    SEXTETS[c"-"] = 62
    SEXTETS[c"_"] = 63
    return 0


_fill_sextets()


cdef Py_ssize_t base64_size(Py_ssize_t n) noexcept nogil:
    """Letters that n bytes take, padding included."""
    return (n // 3 + (n % 3 != 0)) * 4


cdef void write_base64(unsigned char* out, const unsigned char* data, Py_ssize_t n) noexcept nogil:
    """Write base64_size(n) letters at `out`."""
    cdef Py_ssize_t i = 0
    cdef unsigned int group
    while n - i >= 3:
        group = (<unsigned int>data[i] << 16) | (<unsigned int>data[i + 1] << 8) | data[i + 2]
        out[0] = LETTERS[group >> 18]
        out[1] = LETTERS[(group >> 12) & 63]
        out[2] = LETTERS[(group >> 6) & 63]
        out[3] = LETTERS[group & 63]
        out += 4
        i += 3
    if i < n:
        group = <unsigned int>data[i] << 16
        if n - i == 2:
            group |= <unsigned int>data[i + 1] << 8
        out[0] = LETTERS[group >> 18]
        out[1] = LETTERS[(group >> 12) & 63]
        out[2] = LETTERS[(group >> 6) & 63] if n - i == 2 else c"="
        out[3] = c"="


cpdef str session_id(bytes random, Py_ssize_t start, unsigned int number):
    """An id of 20 letters that are safe in a URL: 12 bytes of `random`, then the low 3 bytes of a number.

    Raises:
        ValueError: `random` holds no 12 bytes from `start` on.
    """
    cdef unsigned char[15] raw
    cdef unsigned char[20] letters
    cdef int i
    if not 0 <= start <= PyBytes_GET_SIZE(random) - 12:
        raise ValueError("an id takes 12 random bytes")
    memcpy(raw, PyBytes_AS_STRING(random) + start, 12)
    for i in range(3):
        raw[12 + i] = <unsigned char>((number >> (16 - 8 * i)) & 255)
    write_base64(letters, raw, 15)
    for i in range(20):
        if letters[i] == c"+":
            letters[i] = c"-"
        elif letters[i] == c"/":
            letters[i] = c"_"
    return PyUnicode_DecodeLatin1(<char*>letters, 20, NULL)


cdef Py_ssize_t read_base64(
    unsigned char* out, const unsigned char* text, Py_ssize_t n, bint lenient
) noexcept nogil:
    """Decode into `out`, which has room for (n // 4) * 3 + 2 bytes; returns how many there are.

    A last letter that completes no byte is dropped. Anything that is not a letter is skipped if `lenient`,
    else ends the attempt with -1.
    """
    cdef Py_ssize_t i = 0
    cdef unsigned char* start = out
    cdef unsigned int group = 0, a, b, c, d
    cdef int held = 0
    if not lenient:
        while n - i >= 4:
            a = SEXTETS[text[i]]
            b = SEXTETS[text[i + 1]]
            c = SEXTETS[text[i + 2]]
            d = SEXTETS[text[i + 3]]
            if (a | b | c | d) > 63:
                return -1
            group = (a << 18) | (b << 12) | (c << 6) | d
            out[0] = <unsigned char>(group >> 16)
            out[1] = <unsigned char>((group >> 8) & 255)
            out[2] = <unsigned char>(group & 255)
            out += 3
            i += 4
        group = 0
    while i < n:
        a = SEXTETS[text[i]]
        i += 1
        if a == SKIP:
            if lenient:
                continue
            return -1
        group = (group << 6) | a
        held += 1
        if held == 4:
            out[0] = <unsigned char>((group >> 16) & 255)
            out[1] = <unsigned char>((group >> 8) & 255)
            out[2] = <unsigned char>(group & 255)
            out += 3
            group = 0
            held = 0
    if held == 2:
        out[0] = <unsigned char>((group >> 4) & 255)
        out += 1
    elif held == 3:
        out[0] = <unsigned char>((group >> 10) & 255)
        out[1] = <unsigned char>((group >> 2) & 255)
        out += 2
    return out - start


cdef bytes decode_base64(const unsigned char* text, Py_ssize_t n):
    """Bytes of base64 text, as forgiving as the reference (Engine.IO protocol, "Packet encoding").

    Either alphabet, padding optional, junk skipped, everything from the first "=" on ignored.
    """
    cdef Py_ssize_t i, letters, size
    cdef bytes result
    cdef const unsigned char* end = <const unsigned char*>memchr(text, c"=", n) if n else NULL
    if end != NULL:
        n = end - text
    size = (n // 4) * 3 + (n % 4 == 2) + 2 * (n % 4 == 3)
    result = PyBytes_FromStringAndSize(NULL, size)
    if read_base64(<unsigned char*>PyBytes_AS_STRING(result), text, n, False) == size:
        return result
    letters = 0
    for i in range(n):
        letters += SEXTETS[text[i]] != SKIP
    size = (letters // 4) * 3 + (letters % 4 == 2) + 2 * (letters % 4 == 3)
    result = PyBytes_FromStringAndSize(NULL, size)
    read_base64(<unsigned char*>PyBytes_AS_STRING(result), text, n, True)
    return result


cdef bytes decode_base64_text(str text, Py_ssize_t start):
    """decode_base64 of text[start:]."""
    cdef Py_ssize_t size = 0
    cdef const char* data
    # Letters are ASCII; what else there is would be skipped, so it may go beforehand.
    if not text.isascii():
        text = text[start:].encode("ascii", "ignore").decode("ascii")
        start = 0
    data = PyUnicode_AsUTF8AndSize(text, &size)
    return decode_base64(<const unsigned char*>data + start, size - start)
