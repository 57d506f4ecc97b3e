# cython: language_level=3, freethreading_compatible=True
"""Short JSON arrays of plain strings, integers and attachments: most events and acknowledgements.

A call of orjson costs more than such an array, most of it memory that it asks for and gives back. Whatever is
not plain (an escape, a float, a container, text to be escaped) is left to orjson as a whole.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.list cimport PyList_Append
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy

from fastsio._digits cimport write_digits

cdef extern from "Python.h":
    bint is_ascii "PyUnicode_IS_COMPACT_ASCII" (object text) noexcept
    char* characters "(char*)PyUnicode_1BYTE_DATA" (object text) noexcept
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 largest)
    Py_ssize_t length_of "PyUnicode_GET_LENGTH" (object text) noexcept

cdef extern from *:
    """
    #define ONES 0x0101010101010101ULL
    #define HIGH_BITS 0x8080808080808080ULL
    #define MAX_NUMBER 999999999999999999LL
    """
    const uint64_t ONES
    const uint64_t HIGH_BITS
    const long long MAX_NUMBER

cdef enum:
    # So many digits are always less than 2^63.
    MAX_DIGITS = 18  # of MAX_NUMBER
    # The names of events come again and again. Those seen last, by a hash: a power of two.
    NAMES = 256
    MAX_NAME = 32

cdef bytes PLACEHOLDER = b'{"_placeholder":true,"num":'
cdef list _names = [""] * NAMES


cdef inline bint _is_plain(uint8_t c) noexcept nogil:
    """Whether JSON prints the byte as it is."""
    return c >= 0x20 and c != c'"' and c != c"\\"


@cython.boundscheck(False)
cdef inline const char* _plain_end(const char* p, const char* end, uint64_t* seen) noexcept nogil:
    """The first byte from ``p`` on that is not plain, or ``end``; or-s those before it to ``seen``."""
    cdef uint64_t word, quote, backslash
    while end - p >= 8:
        memcpy(&word, p, 8)
        quote = word ^ (ONES * c'"')
        backslash = word ^ (ONES * c"\\")
        # Eight bytes at once: the high bit of each that is a quote, a backslash, or less than 0x20. A borrow
        # may set bits behind the first of these, never before it.
        if (
            ((quote - ONES) & ~quote) | ((backslash - ONES) & ~backslash) | ((word - ONES * 0x20) & ~word)
        ) & HIGH_BITS:
            break
        seen[0] |= word
        p += 8
    while p < end and _is_plain(<uint8_t>p[0]):
        seen[0] |= <uint8_t>p[0]
        p += 1
    return p


# ----------------------------------------------------------------------------------- printing


cdef Py_ssize_t dump_plain(object values, char* out, Py_ssize_t* attachments) except -2:
    """Write a tuple or list to ``out``, which has room for PLAIN_LIMIT bytes.

    Returns how many were written, -1 if it is not plain. ``attachments`` gets the number of ``bytes`` among
    the values.
    """
    cdef char* p = out
    # What is left behind each value: a comma or the closing bracket.
    cdef char* end = out + PLAIN_LIMIT - 1
    cdef Py_ssize_t size
    cdef long long number
    cdef int overflow = 0
    cdef uint64_t seen = 0
    attachments[0] = 0
    if type(values) is not tuple and type(values) is not list:
        return -1
    # What is not plain shall not cost what comes before it.
    for value in values:
        if type(value) is not str and type(value) is not int and type(value) is not bytes:
            return -1
    p[0] = c"["
    p += 1
    for value in values:
        if type(value) is str:
            size = length_of(value)
            if not is_ascii(value) or size + 2 > end - p:
                return -1
            p[0] = c'"'
            p += 1
            memcpy(p, characters(value), size)
            if _plain_end(p, p + size, &seen) != p + size:
                return -1
            p += size
            p[0] = c'"'
            p += 1
        elif type(value) is int:
            number = PyLong_AsLongLongAndOverflow(value, &overflow)
            if overflow or not -MAX_NUMBER <= number <= MAX_NUMBER or end - p < MAX_DIGITS + 2:
                return -1
            p = _write_number(p, number)
        elif type(value) is bytes:
            size = PyBytes_GET_SIZE(PLACEHOLDER)
            if end - p < size + MAX_DIGITS + 2:
                return -1
            memcpy(p, PyBytes_AS_STRING(PLACEHOLDER), size)
            p = _write_number(p + size, attachments[0])
            attachments[0] += 1
            p[0] = c"}"
            p += 1
        else:
            return -1
        p[0] = c","
        p += 1
    if p - out == 1:
        p += 1
    p[-1] = c"]"
    return p - out


cdef inline char* _write_number(char* p, long long number) noexcept nogil:
    """Write at most MAX_DIGITS digits and a sign; gives where they end."""
    if number < 0:
        p[0] = c"-"
        p += 1
        number = -number
    return <char*>write_digits(<unsigned char*>p, number, c"0")


# ------------------------------------------------------------------------------------ reading


cdef list load_plain(const char* text, Py_ssize_t size, const char* errors):
    """The array, None if the text is anything else; ``errors`` as in ``bytes.decode``.

    :raises UnicodeDecodeError: for what is not UTF-8.
    """
    cdef const char* p = text + 1
    # The closing bracket, at which each scan ends.
    cdef const char* end = text + size - 1
    cdef const char* start
    cdef long long number
    cdef uint64_t seen
    cdef list values
    if size < 2 or text[0] != c"[" or end[0] != c"]":
        return None
    # Most that is not plain holds an object, and shall not cost what comes before it.
    start = <const char*>memchr(text, c"{", size)
    if start != NULL and not _is_placeholder(start, end):
        return None
    values = []
    if p == end:
        return values
    while True:
        start = p
        if p[0] == c'"':
            seen = 0
            p = _plain_end(p + 1, end, &seen)
            if p[0] != c'"':
                return None
            size = p - start - 1
            if seen & HIGH_BITS:
                value = PyUnicode_DecodeUTF8(start + 1, size, errors)
            elif start - text == 1 and size <= MAX_NAME:
                value = _name(start + 1, size)
            else:
                value = _ascii(start + 1, size)
            PyList_Append(values, value)
            p += 1
        elif p[0] == c"{":
            if not _is_placeholder(p, end):
                return None
            p = _read_number(p + PyBytes_GET_SIZE(PLACEHOLDER), &number)
            if p == NULL or p[0] != c"}":
                return None
            PyList_Append(values, {"_placeholder": True, "num": number})
            p += 1
        else:
            p = _read_number(p, &number)
            if p == NULL:
                return None
            PyList_Append(values, number)
        if p == end:
            return values
        if p[0] != c",":
            return None
        p += 1


cdef inline bint _is_placeholder(const char* p, const char* end) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(PLACEHOLDER)
    return end - p >= size and memcmp(p, PyBytes_AS_STRING(PLACEHOLDER), size) == 0


cdef inline const char* _read_number(const char* p, long long* number) noexcept nogil:
    """Read an integer, behind which there is something else; gives where it ends, NULL if it is not plain."""
    cdef const char* start
    cdef bint negative = p[0] == c"-"
    if negative:
        p += 1
    start = p
    number[0] = 0
    while c"0" <= p[0] <= c"9" and p - start < MAX_DIGITS:
        number[0] = number[0] * 10 + (p[0] - c"0")
        p += 1
    # "007" is no JSON, and "-0" a float.
    if p == start or (start[0] == c"0" and (negative or p - start > 1)):
        return NULL
    if negative:
        number[0] = -number[0]
    return p


cdef object _ascii(const char* text, Py_ssize_t size):
    if size < 2:
        return PyUnicode_DecodeUTF8(text, size, NULL)  # Python has these already
    value = PyUnicode_New(size, 127)
    memcpy(characters(value), text, size)
    return value


cdef object _name(const char* text, Py_ssize_t size):
    """The ASCII string, perhaps one that was made before and knows its hash already."""
    cdef unsigned int place = <unsigned int>size
    cdef Py_ssize_t i
    for i in range(size):
        place = place * 31 + <uint8_t>text[i]
    place = (place ^ (place >> 8)) & (NAMES - 1)
    name = _names[place]
    if length_of(name) != size or memcmp(characters(name), text, size):
        name = _ascii(text, size)
        _names[place] = name
    return name
