# cython: language_level=3
"""Shape of the frame parser, and the two header helpers that other modules of the wire ring inline."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t


cdef inline Py_ssize_t frame_header_size(Py_ssize_t n) noexcept nogil:
    """Bytes an unmasked frame header takes for a payload of n bytes (RFC 6455 §5.2)."""
    if n < 126:
        return 2
    return 4 if n <= 0xFFFF else 10


cdef inline Py_ssize_t write_frame_header(unsigned char* out, int opcode, Py_ssize_t n, bint fin) noexcept nogil:
    """Write an unmasked header at `out`, which has room for frame_header_size(n) bytes; returns that size."""
    cdef int i
    out[0] = <unsigned char>((0x80 if fin else 0) | opcode)
    if n < 126:
        out[1] = <unsigned char>n
        return 2
    if n <= 0xFFFF:
        out[1] = 126
        out[2] = <unsigned char>(n >> 8)
        out[3] = <unsigned char>(n & 0xFF)
        return 4
    out[1] = 127
    for i in range(8):
        out[9 - i] = <unsigned char>((n >> (8 * i)) & 0xFF)
    return 10
