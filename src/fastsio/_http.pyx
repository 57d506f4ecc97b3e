# cython: language_level=3, freethreading_compatible=True
"""HTTP/1.1 heads that repeat: those of requests, known by their bytes, and those of responses.

A client sends the same header lines with each of its requests. Once a parser has read them, the same bytes
mean the same again: :class:`KnownHeads` keeps what came and what it meant. Nothing is parsed here but a
plain request line; what is not known byte for byte is left to the parser.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport (
    PyUnicode_1BYTE_DATA,
    PyUnicode_DecodeLatin1,
    PyUnicode_GET_LENGTH,
    PyUnicode_Substring,
)
from libc.string cimport memchr, memcmp, memcpy

from fastsio._digits cimport digit_count, write_digits

__all__ = [
    "FixedHeaders",
    "KnownHead",
    "KnownHeads",
    "SessionQuery",
    "build_response",
    "encode_headers",
    "read_session_query",
]

cdef enum:
    MAX_HEAD = 4096             # longer heads are not kept
    MAX_DIGITS = 9              # of a Content-Length that may vary
    KEY_SIZE = 24               # of a Sec-WebSocket-Key: 16 bytes in base64

# Characters of a target that every parser takes as they are, and of base64.
cdef bint[256] PLAIN
cdef bint[256] BASE64


cdef int _fill_tables() noexcept:
    cdef int i
    cdef const char* marks = b"/?=&-._~:@!$'()*+,;%"
    for i in range(256):
        BASE64[i] = c"0" <= i <= c"9" or c"A" <= i <= c"Z" or c"a" <= i <= c"z"
        PLAIN[i] = BASE64[i]
    BASE64[c"+"] = BASE64[c"/"] = BASE64[c"="] = True
    for i in range(20):
        PLAIN[<unsigned char>marks[i]] = True
    return 0


_fill_tables()


# Requests

cdef struct Line:
    Py_ssize_t target
    Py_ssize_t target_size
    Py_ssize_t block            # where the header lines begin
    bint post


cdef bint read_line(const char* data, Py_ssize_t size, Line* line) noexcept nogil:
    """Find the parts of ``GET <target> HTTP/1.1`` or ``POST …``; False for whatever is not as plain."""
    cdef Py_ssize_t i
    if size < 16:
        return False
    if memcmp(data, b"GET /", 5) == 0:
        line.post = False
        line.target = 4
    elif memcmp(data, b"POST /", 6) == 0:
        line.post = True
        line.target = 5
    else:
        return False
    i = line.target
    while i < size and PLAIN[<unsigned char>data[i]]:
        i += 1
    if size - i < 11 or memcmp(data + i, b" HTTP/1.1\r\n", 11) != 0:
        return False
    line.target_size = i - line.target
    line.block = i + 11
    return True


@cython.final
cdef class KnownHead:
    """The header block of a request, from behind the request line to the empty line, and what it says.

    One value may differ from request to request: that of ``Content-Length``, or ``Sec-WebSocket-Key``. It is
    no part of :attr:`headers`; :attr:`varying` names it.
    """


@cython.final
cdef class KnownHeads:
    """The heads used last, ``limit`` at most; for requests whose target has ``max_target`` bytes at most."""

    def __cinit__(self, Py_ssize_t limit, Py_ssize_t max_target):
        self._heads = []
        self._limit = limit
        self._max_target = max_target
        self._path = self._query = ""
        self._path_bytes = self._query_bytes = b""

    def __len__(self):
        return len(self._heads)

    cpdef KnownHead find(self, bytes data):
        """The head of the one whole request that ``data`` is, body included, if it is known; else None.

        Until the next call :meth:`path`, :meth:`query_string` and :meth:`value` give what belongs to it, and
        :attr:`body` says where its body begins.
        """
        cdef const char* start = PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data), n = len(self._heads), i
        cdef Line line
        cdef KnownHead head
        if n == 0 or not read_line(start, size, &line) or line.target_size > self._max_target:
            return None
        for i in range(n):
            head = <KnownHead>self._heads[i]
            if (head.method is POST) == line.post and self._match(head, start, size, line.block):
                if i:
                    del self._heads[i]
                    self._heads.insert(0, head)
                self._target = line.target
                self._target_size = line.target_size
                return head
        return None

    cdef bint _match(
        self, KnownHead head, const char* data, Py_ssize_t size, Py_ssize_t position
    ) noexcept:
        """Whether ``data``, from its header block at ``position`` on, is ``head`` and the body announced."""
        cdef Py_ssize_t n = PyBytes_GET_SIZE(head._before), length = 0, i
        if size - position < n or memcmp(data + position, PyBytes_AS_STRING(head._before), n) != 0:
            return False
        position += n
        if head.varying is not None:
            i = position
            if head.upgrade:
                if size - position < KEY_SIZE:
                    return False
                while i < position + KEY_SIZE:
                    if not BASE64[<unsigned char>data[i]]:
                        return False
                    i += 1
            else:
                while i < size and c"0" <= data[i] <= c"9":
                    length = length * 10 + (data[i] - c"0")
                    i += 1
                    if i - position > MAX_DIGITS:
                        return False
                if length == 0 or data[position] == c"0":
                    return False
            self._value = position
            self._value_size = i - position
            position = i
            n = PyBytes_GET_SIZE(head._after)
            if size - position < n or memcmp(data + position, PyBytes_AS_STRING(head._after), n) != 0:
                return False
            position += n
        self.body = position
        return size - position == length

    cpdef str path(self, bytes data):
        """The path of the target found last."""
        cdef const char* target = PyBytes_AS_STRING(data) + self._target
        cdef const char* mark = <const char*>memchr(target, c"?", self._target_size)
        cdef Py_ssize_t size = self._target_size if mark == NULL else mark - target
        if size != PyBytes_GET_SIZE(self._path_bytes) or memcmp(
            target, PyBytes_AS_STRING(self._path_bytes), size
        ):
            self._path_bytes = target[:size]
            self._path = PyUnicode_DecodeLatin1(target, size, NULL)
        return self._path

    cpdef str query_string(self, bytes data):
        """The query of the target found last, None if it has no question mark."""
        cdef const char* target = PyBytes_AS_STRING(data) + self._target
        cdef const char* mark = <const char*>memchr(target, c"?", self._target_size)
        cdef Py_ssize_t size
        if mark == NULL:
            return None
        mark += 1
        size = target + self._target_size - mark
        if size != PyBytes_GET_SIZE(self._query_bytes) or memcmp(
            mark, PyBytes_AS_STRING(self._query_bytes), size
        ):
            self._query_bytes = mark[:size]
            self._query = PyUnicode_DecodeLatin1(mark, size, NULL)
        return self._query

    cpdef str value(self, bytes data):
        """The value found last of the header that varies."""
        return PyUnicode_DecodeLatin1(PyBytes_AS_STRING(data) + self._value, self._value_size, NULL)

    cpdef KnownHead learn(self, bytes data, Py_ssize_t count, dict headers, bint close, bint upgrade):
        """Keep the head that ``data`` begins with, and give it; None if it is not of the kind that is kept.

        Args:
            data: a request that a parser read from its first byte on.
            count: header lines it found.
            headers: what it made of them; only the same header lines mean the same.
            close: whether the connection ends with the response.
            upgrade: whether it asks for a WebSocket; else its body is as long as Content-Length says.
        """
        cdef const char* start = PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = min(PyBytes_GET_SIZE(data), MAX_HEAD), i, value = -1, value_size = 0
        cdef Py_ssize_t line_start, lines = 0
        cdef Line line
        cdef KnownHead head
        cdef str varying = None
        cdef bytes name = b"", wanted = b""
        if not read_line(start, size, &line) or (upgrade and line.post):
            return None
        if upgrade:
            varying = "sec-websocket-key"
        elif line.post:
            varying = "content-length"
        if varying is not None:
            if varying not in headers:
                return None
            name = varying.encode() + b":"
            wanted = b" " + (<str>headers[varying]).encode("latin-1")
        i = line_start = line.block
        while True:
            # Each line ends with CR and LF, and holds neither of them otherwise.
            while i < size and data[i] != c"\r" and data[i] != c"\n":
                i += 1
            if size - i < 2 or data[i] != c"\r" or data[i + 1] != c"\n":
                return None
            if i == line_start:
                break
            lines += 1
            if varying is not None and data[line_start : line_start + len(name)].lower() == name:
                if value >= 0 or data[line_start + len(name) : i] != wanted:
                    return None
                value = line_start + len(name) + 1
                value_size = i - value
            i += 2
            line_start = i
        if lines != count or (varying is not None and value < 0):
            return None
        head = KnownHead.__new__(KnownHead)
        head.method = POST if line.post else GET
        head.close = close
        head.upgrade = upgrade
        head.varying = varying
        head.headers = headers.copy()
        if varying is None:
            head._before = data[line.block : i + 2]
        else:
            head._before = data[line.block : value]
            head._after = data[value + value_size : i + 2]
            del head.headers[varying]
        # What was learned is found, or it is nothing to keep.
        if not self._match(head, start, PyBytes_GET_SIZE(data), line.block):
            return None
        self.adopt(head)
        return head

    cpdef adopt(self, KnownHead head):
        """Keep a head that others learned."""
        self._heads.insert(0, head)
        if len(self._heads) > self._limit:
            self._heads.pop()


cdef str GET = "GET"
cdef str POST = "POST"


# Queries of sessions

@cython.final
@cython.freelist(16)
cdef class SessionQuery:
    """The parameters of Engine.IO in a query: ``""`` where one is missing, but None for ``jsonp``."""

    def __init__(self, str transport, str sid, str protocol, str base64, str jsonp):
        self.transport = transport
        self.sid = sid
        self.protocol = protocol
        self.base64 = base64
        self.jsonp = jsonp


# Of the first request of most sessions, which keep it.
cdef SessionQuery POLLING = SessionQuery("polling", "", "4", "", None)
cdef SessionQuery WEBSOCKET = SessionQuery("websocket", "", "4", "", None)


cpdef SessionQuery read_session_query(str query):
    """The parameters in a query string; None if it needs decoding. Of a repeated name the last one counts."""
    cdef const char* text
    cdef const char* start
    cdef const char* stop
    cdef const char* end
    cdef const char* value
    cdef Py_ssize_t size = PyUnicode_GET_LENGTH(query), name, length
    cdef str transport = "", sid = "", protocol = "", base64 = "", jsonp = None
    cdef SessionQuery result
    if not query.isascii():
        return None
    text = <const char*>PyUnicode_1BYTE_DATA(query)
    if memchr(text, c"%", size) != NULL or memchr(text, c"+", size) != NULL:
        return None
    if memchr(text, c"#", size) != NULL:
        return None
    stop = text + size
    start = text
    while start < stop:
        end = <const char*>memchr(start, c"&", stop - start)
        if end == NULL:
            end = stop
        value = <const char*>memchr(start, c"=", end - start)
        name = (end if value == NULL else value) - start
        value = end if value == NULL else value + 1
        length = end - value
        if name == 3 and memcmp(start, b"sid", 3) == 0:
            sid = PyUnicode_Substring(query, value - text, end - text)
        elif name == 3 and memcmp(start, b"EIO", 3) == 0:
            if length == 1 and value[0] == c"4":
                protocol = "4"
            else:
                protocol = PyUnicode_Substring(query, value - text, end - text)
        elif name == 9 and memcmp(start, b"transport", 9) == 0:
            if length == 7 and memcmp(value, b"polling", 7) == 0:
                transport = "polling"
            elif length == 9 and memcmp(value, b"websocket", 9) == 0:
                transport = "websocket"
            else:
                transport = PyUnicode_Substring(query, value - text, end - text)
        elif name == 3 and memcmp(start, b"b64", 3) == 0:
            base64 = PyUnicode_Substring(query, value - text, end - text)
        elif name == 1 and start[0] == c"j":
            jsonp = PyUnicode_Substring(query, value - text, end - text)
        start = end + 1
    if protocol is POLLING.protocol and not sid and not base64 and jsonp is None:
        if transport is WEBSOCKET.transport:
            return WEBSOCKET
        if transport is POLLING.transport:
            return POLLING
    result = SessionQuery.__new__(SessionQuery)
    result.transport = transport
    result.sid = sid
    result.protocol = protocol
    result.base64 = base64
    result.jsonp = jsonp
    return result


# Responses

cpdef bytes encode_headers(headers):
    """Header lines on the wire.

    Raises:
        ValueError: one would break out of its line, or holds what HTTP cannot carry.
    """
    cdef Py_ssize_t lines = len(headers)
    cdef str text
    if lines == 0:
        return b""
    text = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if text.count("\n") != lines or text.count("\r") != lines or "\0" in text:
        raise ValueError("a header holds a line break or a NUL")
    return text.encode("latin-1")


@cython.final
cdef class FixedHeaders:
    """Headers that many responses have in common, encoded once.

    Raises:
        ValueError: as encode_headers.
    """

    def __init__(self, pairs):
        self.pairs = tuple(pairs)
        self.lines = encode_headers(self.pairs)


cdef inline char* put(char* out, const char* data, Py_ssize_t n) noexcept:
    memcpy(out, data, n)
    return out + n


cpdef bytes build_response(
    bytes status, bytes common, FixedHeaders first, FixedHeaders second, bytes body, bint with_body
):
    """A whole response in one allocation.

    Args:
        status: the status line.
        common: header lines of the connection, such as Date.
        first, second: more headers; None for none.
        body: its size becomes Content-Length.
        with_body: whether the body follows the head.
    """
    cdef Py_ssize_t size = PyBytes_GET_SIZE(body)
    cdef Py_ssize_t n = size if with_body else 0
    cdef Py_ssize_t total
    cdef bytes result
    cdef char* out
    total = PyBytes_GET_SIZE(status) + 16 + digit_count(size) + 2 + PyBytes_GET_SIZE(common) + 2 + n
    if first is not None:
        total += PyBytes_GET_SIZE(first.lines)
    if second is not None:
        total += PyBytes_GET_SIZE(second.lines)
    result = PyBytes_FromStringAndSize(NULL, total)
    out = PyBytes_AS_STRING(result)
    out = put(out, PyBytes_AS_STRING(status), PyBytes_GET_SIZE(status))
    out = put(out, b"Content-Length: ", 16)
    out = <char*>write_digits(<unsigned char*>out, size, c"0")
    out = put(out, b"\r\n", 2)
    out = put(out, PyBytes_AS_STRING(common), PyBytes_GET_SIZE(common))
    if first is not None:
        out = put(out, PyBytes_AS_STRING(first.lines), PyBytes_GET_SIZE(first.lines))
    if second is not None:
        out = put(out, PyBytes_AS_STRING(second.lines), PyBytes_GET_SIZE(second.lines))
    out = put(out, b"\r\n", 2)
    put(out, PyBytes_AS_STRING(body), n)
    return result
