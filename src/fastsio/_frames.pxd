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


cdef inline Py_ssize_t write_frame_header(
    unsigned char* out, int opcode, Py_ssize_t n, bint fin
) noexcept nogil:
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


cdef enum:
    OPCODE_CONTINUATION = 0
    OPCODE_TEXT = 1
    OPCODE_BINARY = 2
    OPCODE_CLOSE = 8
    OPCODE_PING = 9
    OPCODE_PONG = 10
    FLAG_COMPRESSED = 0x40
    MAX_HEADER = 14
    MAX_CONTROL = 125


cdef struct Utf8State:
    uint8_t need    # continuation bytes the current character still needs
    uint8_t low     # bounds of the next of them
    uint8_t high


@cython.final
cdef class FrameParser:
    cdef:
        readonly int close_code
        readonly str close_reason
        readonly int opcode         # of the message read last

        bytes _input                # what begin was given, None when all of it is read
        Py_ssize_t _position        # where in _input reading goes on
        bint _client
        bint _compression
        bint _feeding               # in the midst of some input, or reading raised: the place is lost
        bint _stopped               # violation or close frame: nothing that follows is read
        Py_ssize_t _max_message_size
        Py_ssize_t _max_fragments

        # the frame being read; its header stays in _header until it is complete
        uint8_t _header[MAX_HEADER]
        uint8_t _header_len
        uint8_t _opcode
        bint _fin
        uint8_t _mask[4]            # rotated, so that _mask[0] goes with the next payload byte
        Py_ssize_t _remaining       # payload bytes still to come

        # the message being read; _message_opcode is 0 outside of one
        uint8_t _message_opcode
        bint _validate
        Utf8State _utf8
        Py_ssize_t _fragments
        PyObject* _message          # owned bytes object, longer than what it holds; NULL while empty
        Py_ssize_t _message_len

        PyObject* _control          # owned bytes object for a control frame that came in part
        uint8_t _control_len

    cpdef int begin(self, bytes data) except -1
    cpdef bytes next_message(self)
    cdef bytes _next(self, const uint8_t** position, const uint8_t* end)
    cdef Py_ssize_t _parse_header(self, const uint8_t* p, Py_ssize_t n) noexcept
    cdef bytes _read_data(self, const uint8_t* p, Py_ssize_t n)
    cdef bytes _read_control(self, const uint8_t* p, Py_ssize_t n)
    cdef int _append(self, const uint8_t* p, Py_ssize_t n) except -1
    cdef bytes _take_message(self)
    cdef int _refuse(self, int code, str reason) noexcept
    cdef void _drop(self) noexcept


@cython.final
cdef class FrameChain:
    cdef:
        readonly FrameChain before  # None: nothing
        readonly bytes frames       # behind what `before` has
        readonly Py_ssize_t size    # bytes of both
        int depth                   # links, this one included
        bytes _data                 # both in one piece, once somebody asked

    cpdef bytes data(self)


cpdef FrameChain chain_frames(FrameChain before, bytes frames)
