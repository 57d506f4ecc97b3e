# cython: language_level=3, freethreading_compatible=True
"""WebSocket frames (RFC 6455): an incremental parser for both roles, and a builder.

The parser turns bytes into whole messages and control frames. Each byte is judged when it is reached and
the verdict depends on nothing but the bytes before it, so the way the stream was cut into reads never
shows. Lengths are judged from the header, before anything is allocated for them.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE, _PyBytes_Resize
from cpython.object cimport PyObject
from cpython.ref cimport Py_CLEAR, Py_DECREF
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from fastsio.exceptions import PacketError

cdef extern from "Python.h":
    PyObject* new_bytes "PyBytes_FromStringAndSize" (const char*, Py_ssize_t) except NULL
    Py_ssize_t capacity_of "PyBytes_GET_SIZE" (PyObject*) noexcept
    uint8_t* bytes_at "(unsigned char*)PyBytes_AS_STRING" (PyObject*) noexcept


__all__ = [
    "COMPRESSED",
    "OP_BINARY",
    "OP_CLOSE",
    "OP_CONTINUATION",
    "OP_PING",
    "OP_PONG",
    "OP_TEXT",
    "FrameChain",
    "FrameParser",
    "apply_mask",
    "build_close",
    "build_frame",
    "chain_frames",
    "check_utf8",
    "parse_close",
]

OP_CONTINUATION = OPCODE_CONTINUATION
OP_TEXT = OPCODE_TEXT
OP_BINARY = OPCODE_BINARY
OP_CLOSE = OPCODE_CLOSE
OP_PING = OPCODE_PING
OP_PONG = OPCODE_PONG
COMPRESSED = FLAG_COMPRESSED

cdef enum:
    NORMAL = 1000
    PROTOCOL_ERROR = 1002
    NO_STATUS = 1005
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    TOO_LARGE = 1009
    # The smallest buffer made for an incomplete message.
    MIN_CAPACITY = 64

cdef uint64_t HIGH_BITS = 0x8080808080808080


# ----------------------------------------------------------------------------------- masks, UTF-8


cdef bint copy_masked(uint8_t* out, const uint8_t* p, Py_ssize_t n, const uint8_t* mask) noexcept nogil:
    """out[i] = p[i] ^ mask[i % 4], eight bytes at a time; out may be p. Whether the result is ASCII."""
    cdef uint64_t key, word
    cdef uint64_t seen = 0
    cdef uint8_t byte
    cdef uint8_t rest = 0
    cdef Py_ssize_t i
    memcpy(&key, mask, 4)
    memcpy(<uint8_t*>&key + 4, mask, 4)
    for i in range(n >> 3):
        memcpy(&word, p + 8 * i, 8)
        word ^= key
        seen |= word
        memcpy(out + 8 * i, &word, 8)
    for i in range(n & ~7, n):
        byte = p[i] ^ mask[i & 3]
        rest |= byte
        out[i] = byte
    return (seen | rest) & HIGH_BITS == 0


cdef inline void rotate_mask(uint8_t* mask, Py_ssize_t n) noexcept nogil:
    """Turn the mask so that it goes on after n payload bytes."""
    cdef uint8_t old[4]
    cdef int i
    memcpy(old, mask, 4)
    for i in range(4):
        mask[i] = old[(n + i) & 3]


cdef bint utf8_feed(Utf8State* state, const uint8_t* p, Py_ssize_t n) noexcept nogil:
    """Go on validating with n more bytes: False at the first byte that cannot follow (RFC 3629 §4)."""
    cdef const uint8_t* end = p + n
    cdef uint64_t a, b, c, d
    cdef uint8_t byte
    cdef uint8_t need = state.need, low = state.low, high = state.high
    while True:
        while need:
            if p == end:
                state.need, state.low, state.high = need, low, high
                return True
            if p[0] < low or p[0] > high:
                return False
            low, high = 0x80, 0xBF
            need -= 1
            p += 1
        while end - p >= 32:
            memcpy(&a, p, 8)
            memcpy(&b, p + 8, 8)
            memcpy(&c, p + 16, 8)
            memcpy(&d, p + 24, 8)
            if (a | b | c | d) & HIGH_BITS:
                break
            p += 32
        while end - p >= 8:
            memcpy(&a, p, 8)
            if a & HIGH_BITS:
                break
            p += 8
        while p < end and p[0] < 0x80:
            p += 1
        if p == end:
            state.need = 0
            return True
        byte = p[0]
        p += 1
        # No overlong forms (C0, C1, E0 80.., F0 80..), surrogates (ED A0..) or code points past U+10FFFF.
        low, high = 0x80, 0xBF
        if byte < 0xC2:
            return False
        elif byte < 0xE0:
            need = 1
        elif byte < 0xF0:
            need = 2
            if byte == 0xE0:
                low = 0xA0
            elif byte == 0xED:
                high = 0x9F
        elif byte < 0xF5:
            need = 3
            if byte == 0xF0:
                low = 0x90
            elif byte == 0xF4:
                high = 0x8F
        else:
            return False


cdef inline bint utf8_valid(const uint8_t* p, Py_ssize_t n) noexcept nogil:
    """Whether n bytes are complete, strict UTF-8."""
    cdef Utf8State state
    state.need = 0
    state.low = 0x80
    state.high = 0xBF
    return utf8_feed(&state, p, n) and state.need == 0


# ----------------------------------------------------------------------------------- close payloads


cdef inline bint close_code_allowed(int code) noexcept nogil:
    """Whether a close frame may carry the code: RFC 6455 §7.4 and the registry it opened (1012-1014)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


cdef inline int close_code_in(const uint8_t* p) noexcept nogil:
    return (p[0] << 8) | p[1]


cdef int close_error(const uint8_t* p, Py_ssize_t n) noexcept nogil:
    """The close code that answers a faulty close payload, 0 for a good one."""
    if n == 0:
        return 0
    if n == 1 or n > MAX_CONTROL or not close_code_allowed(close_code_in(p)):
        return PROTOCOL_ERROR
    if not utf8_valid(p + 2, n - 2):
        return INVALID_DATA
    return 0


# ----------------------------------------------------------------------------------- parser


@cython.final
cdef class FrameParser:
    """Reads one connection's frames; belongs to one connection and keeps only what is incomplete.

    ``client`` is the role of this side: a server (the default) takes masked frames only, a client
    unmasked ones only. ``max_message_size`` bytes and ``max_fragments`` frames are the most a message
    may have; a message of exactly that is accepted. Compressed messages are measured as they are on the
    wire, so whoever inflates them has to measure again. ``compression`` allows RSV1 on the first frame
    of a message (RFC 7692).

    After a violation ``close_code`` and ``close_reason`` say how to close: 1002 framing, 1007 bad UTF-8,
    1008 too many fragments, 1009 too large. ``close_code`` is 0 until then.
    """

    def __cinit__(
        self,
        *,
        bint client=False,
        Py_ssize_t max_message_size=1_000_000,
        Py_ssize_t max_fragments=16384,
        bint compression=False,
    ):
        if max_message_size < 0:
            raise ValueError("max_message_size must not be negative")
        if max_fragments < 1:
            raise ValueError("max_fragments must be at least 1")
        self._client = client
        self._max_message_size = max_message_size
        self._max_fragments = max_fragments
        self._compression = compression
        self.close_reason = ""

    def __dealloc__(self):
        self._drop()

    @property
    def buffered(self):
        """Bytes held for an incomplete header, control frame or message."""
        return self._header_len + self._control_len + self._message_len

    @property
    def between(self):
        """Whether what comes next begins a message or control frame."""
        return (
            self._header_len == 0
            and self._remaining == 0
            and self._message_opcode == 0
            and not (self._feeding or self._stopped)
        )

    @cython.critical_section
    def feed(self, data, /):
        """Read ``data`` (bytes, bytearray or memoryview; nothing of it is kept).

        Returns the messages and control frames completed by it, in wire order, as ``(opcode, payload)``.
        A text payload is UTF-8 that has been validated. A message whose first frame had RSV1 has
        ``COMPRESSED`` or-ed to its opcode and is not validated. A close payload is empty or a valid code
        and reason. After a close frame or a violation everything is ignored and the result is empty.
        """
        cdef Py_buffer view
        cdef list out = []
        cdef bytes payload
        cdef const uint8_t* position
        if self._feeding:
            raise RuntimeError("the parser is in the midst of other input, or has raised before")
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self._feeding = True
            position = <const uint8_t*>view.buf
            while True:
                payload = self._next(&position, <const uint8_t*>view.buf + view.len)
                if payload is None:
                    break
                out.append((self.opcode, payload))
            self._feeding = False
            return out
        finally:
            PyBuffer_Release(&view)

    cpdef int begin(self, bytes data) except -1:
        """Take ``data``, whose messages :meth:`next_message` gives one by one: ``feed`` without a list."""
        if self._feeding or data is None:
            raise RuntimeError("the parser is in the midst of other input, or has raised before")
        self._feeding = True
        self._input = data
        self._position = 0
        return 0

    cpdef bytes next_message(self):
        """Payload of the next message or control frame, its opcode in ``opcode``; None at the end."""
        cdef const uint8_t* start
        cdef const uint8_t* position
        cdef bytes payload
        if self._input is None:
            return None
        start = <const uint8_t*>PyBytes_AS_STRING(self._input)
        position = start + self._position
        payload = self._next(&position, start + PyBytes_GET_SIZE(self._input))
        self._position = position - start
        if payload is None:
            self._input = None
            self._feeding = False
        return payload

    cdef bytes _next(self, const uint8_t** position, const uint8_t* end):
        """Read up to the end of a message; None if there is none before ``end``."""
        cdef bytes payload = None
        cdef const uint8_t* p = position[0]
        cdef Py_ssize_t size, take
        while p < end and not self._stopped:
            if self._remaining == 0:
                if self._header_len == 0:
                    size = self._parse_header(p, end - p)
                    if self._stopped:
                        break
                    if size == 0:
                        self._header_len = <uint8_t>(end - p)
                        memcpy(self._header, p, self._header_len)
                        break
                else:
                    take = min(end - p, <Py_ssize_t>(MAX_HEADER - self._header_len))
                    memcpy(self._header + self._header_len, p, take)
                    size = self._parse_header(self._header, self._header_len + take)
                    if self._stopped:
                        break
                    if size == 0:
                        self._header_len += <uint8_t>take
                        break
                    # What was held is less than a header, so the rest of it was in `p`.
                    size -= self._header_len
                    self._header_len = 0
                p += size
            take = min(end - p, self._remaining)
            if self._opcode >= OPCODE_CLOSE:
                payload = self._read_control(p, take)
            else:
                payload = self._read_data(p, take)
            p += take
            if payload is not None:
                break
        position[0] = p
        return payload

    cdef Py_ssize_t _parse_header(self, const uint8_t* p, Py_ssize_t n) noexcept:
        """Read a header: its size, or 0 if it is incomplete or was refused.

        Called again from the start with more bytes, so nothing is stored before the header is complete;
        but each part is judged as soon as it is there.
        """
        cdef Py_ssize_t size = 2
        cdef uint64_t length
        cdef int opcode, i
        cdef bint fin, masked, compressed
        if n < 2:
            return 0
        fin = p[0] & 0x80 != 0
        compressed = p[0] & 0x40 != 0
        opcode = p[0] & 0x0F
        masked = p[1] & 0x80 != 0
        length = p[1] & 0x7F

        if p[0] & 0x30 or (compressed and not self._compression):
            return self._refuse(PROTOCOL_ERROR, "reserved bit set")
        if 2 < opcode < OPCODE_CLOSE or opcode > OPCODE_PONG:
            return self._refuse(PROTOCOL_ERROR, "unknown opcode")
        if masked == self._client:
            return self._refuse(PROTOCOL_ERROR, "masked frame" if masked else "unmasked frame")
        if opcode >= OPCODE_CLOSE:
            if compressed:
                return self._refuse(PROTOCOL_ERROR, "compressed control frame")
            if not fin:
                return self._refuse(PROTOCOL_ERROR, "fragmented control frame")
            if length > MAX_CONTROL:
                return self._refuse(PROTOCOL_ERROR, "control frame too long")
        elif opcode == OPCODE_CONTINUATION:
            if compressed:
                return self._refuse(PROTOCOL_ERROR, "compression bit on a continuation")
            if self._message_opcode == 0:
                return self._refuse(PROTOCOL_ERROR, "continuation without a message")
            if self._fragments >= self._max_fragments:
                return self._refuse(POLICY_VIOLATION, "too many fragments")
        elif self._message_opcode != 0:
            return self._refuse(PROTOCOL_ERROR, "new message inside a fragmented one")

        if length >= 126:
            size = 4 if length == 126 else 10
            if n < size:
                return 0
            length = 0
            for i in range(2, size):
                length = (length << 8) | p[i]
            if length >> 63:
                return self._refuse(PROTOCOL_ERROR, "length over 63 bits")
        # The message so far is within the limit, so the difference is not negative and nothing overflows.
        if opcode < OPCODE_CLOSE and length > <uint64_t>(self._max_message_size - self._message_len):
            return self._refuse(TOO_LARGE, "message too large")

        if masked:
            if n < size + 4:
                return 0
            memcpy(self._mask, p + size, 4)
            size += 4
        self._fin = fin
        self._opcode = <uint8_t>opcode
        self._remaining = <Py_ssize_t>length
        if opcode == OPCODE_CONTINUATION:
            self._fragments += 1
        elif opcode < OPCODE_CLOSE:
            self._fragments = 1
            self._message_opcode = <uint8_t>(opcode | (FLAG_COMPRESSED if compressed else 0))
            self._validate = opcode == OPCODE_TEXT and not compressed
        return size

    cdef bytes _read_data(self, const uint8_t* p, Py_ssize_t n):
        """Take n bytes of a data frame, and the message if they complete it."""
        cdef bytes payload
        cdef uint8_t opcode = self._message_opcode
        cdef PyObject* fresh
        cdef bint last = self._fin and n == self._remaining
        cdef bint ascii = False
        if last and self._message_len == 0:
            # The whole message in one piece: unmask into its final place.
            fresh = new_bytes(NULL, n)
            payload = <bytes>fresh
            Py_DECREF(payload)
            self._remaining = 0
            if self._client:
                memcpy(bytes_at(fresh), p, n)
            else:
                ascii = copy_masked(bytes_at(fresh), p, n, self._mask)
            if self._validate and not ascii and not utf8_valid(bytes_at(fresh), n):
                self._refuse(INVALID_DATA, "invalid UTF-8")
                return None
        else:
            self._append(p, n)
            if self._validate and n and not utf8_feed(
                &self._utf8, bytes_at(self._message) + self._message_len - n, n
            ):
                self._refuse(INVALID_DATA, "invalid UTF-8")
                return None
            if not last:
                return None
            if self._utf8.need:
                self._refuse(INVALID_DATA, "invalid UTF-8")
                return None
            payload = self._take_message()
        self._message_opcode = 0
        self.opcode = opcode
        return payload

    cdef int _append(self, const uint8_t* p, Py_ssize_t n) except -1:
        """Unmask n bytes of the current frame to the end of the incomplete message.

        The buffer grows by half, with the bytes that came and not with those announced, and never past
        what the message can still become; so a message in one frame ends up in a buffer of its own size.
        """
        cdef Py_ssize_t needed = self._message_len + n
        cdef Py_ssize_t wanted, most
        if n == 0:
            return 0
        if self._message == NULL or needed > capacity_of(self._message):
            most = self._message_len + self._remaining if self._fin else self._max_message_size
            wanted = min(max(needed + (needed >> 1), <Py_ssize_t>MIN_CAPACITY), most)
            if self._message == NULL:
                self._message = new_bytes(NULL, wanted)
            else:
                _PyBytes_Resize(&self._message, wanted)
        if self._client:
            memcpy(bytes_at(self._message) + self._message_len, p, n)
        else:
            copy_masked(bytes_at(self._message) + self._message_len, p, n, self._mask)
            rotate_mask(self._mask, n)
        self._message_len = needed
        self._remaining -= n
        return 0

    cdef bytes _take_message(self):
        """The completed message; the parser keeps nothing of it."""
        cdef bytes payload
        if self._message == NULL:
            return b""
        if capacity_of(self._message) != self._message_len:
            _PyBytes_Resize(&self._message, self._message_len)
        payload = <bytes>self._message
        Py_CLEAR(self._message)
        self._message_len = 0
        return payload

    cdef bytes _read_control(self, const uint8_t* p, Py_ssize_t n):
        """Take n bytes of a control frame, and the frame if they complete it."""
        cdef bytes payload
        cdef int error
        if self._control == NULL:
            # At most 125 bytes: always the exact size at once.
            self._control = new_bytes(NULL, self._remaining)
        if self._client:
            memcpy(bytes_at(self._control) + self._control_len, p, n)
        else:
            copy_masked(bytes_at(self._control) + self._control_len, p, n, self._mask)
            rotate_mask(self._mask, n)
        self._control_len += <uint8_t>n
        self._remaining -= n
        if self._remaining:
            return None
        payload = <bytes>self._control
        Py_CLEAR(self._control)
        self._control_len = 0
        if self._opcode == OPCODE_CLOSE:
            error = close_error(<const uint8_t*>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
            if error:
                self._refuse(
                    error,
                    "invalid UTF-8 in the close reason"
                    if error == INVALID_DATA
                    else "invalid close code or length",
                )
                return None
            # RFC 6455 §1.4: what follows a close frame is discarded.
            self._stopped = True
            self._drop()
        self.opcode = self._opcode
        return payload

    cdef int _refuse(self, int code, str reason) noexcept:
        """Record a violation and free everything; always 0, for the caller to return."""
        self.close_code = code
        self.close_reason = reason
        self._stopped = True
        self._drop()
        return 0

    cdef void _drop(self) noexcept:
        """Free everything incomplete."""
        Py_CLEAR(self._message)
        Py_CLEAR(self._control)
        self._message_len = 0
        self._control_len = 0
        self._header_len = 0
        self._remaining = 0


# ----------------------------------------------------------------------------------- builders


cdef int read_mask(mask, uint8_t* out) except -1:
    """Copy a bytes-like mask to four bytes at out."""
    cdef Py_buffer view
    PyObject_GetBuffer(mask, &view, PyBUF_SIMPLE)
    try:
        if view.len != 4:
            raise ValueError("a mask has four bytes")
        memcpy(out, view.buf, 4)
    finally:
        PyBuffer_Release(&view)
    return 0


def build_frame(int opcode, payload, *, bint fin=True, bint rsv1=False, mask=None):
    """Build one frame in a single allocation.

    ``payload`` is bytes-like and is copied. ``mask`` is None (a server's frame) or four bytes from a
    strong random source (a client's frame, RFC 6455 §5.3). ``rsv1`` marks a compressed message. Raises
    ValueError for what RFC 6455 §5 does not allow on the wire.
    """
    cdef Py_buffer view
    cdef uint8_t key[4]
    cdef PyObject* fresh
    cdef bytes frame
    cdef uint8_t* out
    cdef Py_ssize_t size
    if opcode < 0 or 2 < opcode < OPCODE_CLOSE or opcode > OPCODE_PONG:
        raise ValueError(f"unknown opcode {opcode}")
    if rsv1 and opcode != OPCODE_TEXT and opcode != OPCODE_BINARY:
        raise ValueError("only the first frame of a message can be marked as compressed")
    if mask is not None:
        read_mask(mask, key)
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    try:
        if opcode >= OPCODE_CLOSE and (view.len > MAX_CONTROL or not fin):
            raise ValueError("a control frame is one frame of at most 125 bytes")
        size = frame_header_size(view.len) + (0 if mask is None else 4)
        fresh = new_bytes(NULL, size + view.len)
        frame = <bytes>fresh
        Py_DECREF(frame)
        out = bytes_at(fresh)
        size = write_frame_header(out, opcode, view.len, fin)
        if rsv1:
            out[0] |= 0x40
        if mask is None:
            memcpy(out + size, view.buf, view.len)
        else:
            out[1] |= 0x80
            memcpy(out + size, key, 4)
            copy_masked(out + size + 4, <const uint8_t*>view.buf, view.len, key)
        return frame
    finally:
        PyBuffer_Release(&view)


def apply_mask(data, mask):
    """Mask or unmask bytes-like ``data`` with four bytes (RFC 6455 §5.3); returns new bytes.

    Raises ValueError if ``mask`` is not four bytes long.
    """
    cdef Py_buffer view
    cdef uint8_t key[4]
    cdef PyObject* fresh
    cdef bytes result
    read_mask(mask, key)
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        fresh = new_bytes(NULL, view.len)
        result = <bytes>fresh
        Py_DECREF(result)
        copy_masked(bytes_at(fresh), <const uint8_t*>view.buf, view.len, key)
        return result
    finally:
        PyBuffer_Release(&view)


def build_close(code, str reason=""):
    """Build the payload of a close frame: empty for ``None``, else the code and a reason.

    A reason of more than 123 bytes is cut before the character that does not fit. Raises ValueError for
    a code that must not be sent (RFC 6455 §7.4.1) or a reason without a code.
    """
    cdef bytes text
    cdef Py_ssize_t size
    if code is None:
        if reason:
            raise ValueError("a close reason needs a code")
        return b""
    if not 0 <= code <= 0xFFFF or not close_code_allowed(code):
        raise ValueError(f"close code {code} must not be sent")
    text = reason.encode("utf-8", "replace")
    size = min(len(text), MAX_CONTROL - 2)
    while size < len(text) and text[size] & 0xC0 == 0x80:
        size -= 1
    return bytes((code >> 8, code & 0xFF)) + text[:size]


def parse_close(bytes payload not None):
    """Split a close payload into code and reason; ``(1005, "")`` if it is empty (RFC 6455 §7.1.5).

    Raises PacketError for a payload a close frame must not have.
    """
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(payload)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(payload)
    if close_error(p, n):
        raise PacketError("invalid close payload")
    if n == 0:
        return NO_STATUS, ""
    return close_code_in(p), payload[2:].decode("utf-8")


def check_utf8(data):
    """Whether bytes-like ``data`` is complete, strict UTF-8 (RFC 3629)."""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return utf8_valid(<const uint8_t*>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


cdef enum:
    # Links of a chain: freeing one frees the next, which takes stack.
    MAX_CHAIN = 1000


@cython.final
@cython.freelist(64)
@cython.no_gc  # each was made after the one before it: no cycles
cdef class FrameChain:
    """Frames that wait to be sent: ``frames`` behind the chain ``before``, if not None; ``size`` bytes.

    Made by ``chain_frames``. Its bytes never change, so that connections which wait with the same frames
    share one chain, and the one piece that ``data`` makes of it; how many links hold them may. A chain
    belongs to one thread.
    """

    def __init__(self):
        raise TypeError("FrameChain is made by chain_frames")

    cpdef bytes data(self):
        """All frames in one piece, which is made once."""
        cdef FrameChain link = self
        cdef bytes part, result
        cdef Py_ssize_t end = self.size
        cdef char* out
        if self.before is None:
            return self.frames
        if self._data is None:
            result = PyBytes_FromStringAndSize(NULL, end)
            out = PyBytes_AS_STRING(result)
            while link is not None:
                part = link.frames if link._data is None else link._data
                end -= PyBytes_GET_SIZE(part)
                memcpy(out + end, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
                link = link.before if link._data is None else None
            self._data = result
        return self._data


cpdef FrameChain chain_frames(FrameChain before, bytes frames):
    """The chain of what ``before`` has, if not None, and ``frames`` behind it."""
    if frames is None:
        raise TypeError("frames are bytes, not None")
    cdef FrameChain chain = FrameChain.__new__(FrameChain)
    chain.before = before
    chain.frames = frames
    chain.size = PyBytes_GET_SIZE(frames)
    chain.depth = 1
    if before is not None:
        if before.depth >= MAX_CHAIN:
            before.frames = before.data()
            before.before = before._data = None
            before.depth = 1
        chain.size += before.size
        chain.depth += before.depth
    return chain
