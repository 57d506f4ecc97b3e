# The layout of the compiled classes; exchange.py is the source of their methods.

from fastsio._http cimport encode_headers
from fastsio.engine.request cimport Request, Response
from fastsio.net.websocket cimport check_handshake


cdef class Channel:
    cpdef send_responses(self)
    cpdef want_body(self)
    cpdef bint is_next(self, HttpExchange exchange) except -1
    cpdef hand_over(
        self, receiver, bytes head, deflate, Py_ssize_t max_message_size, Py_ssize_t max_buffered_bytes
    )
    cpdef abort(self)


cdef class HttpExchange:
    cdef:
        public object on_abort
        public Request request
        public Response response
        public object task
        public bint answered
        public bint complete
        public bint close
        public bint is_head
        public bint version_1_0
        public Py_ssize_t remaining
        public Py_ssize_t size
        object _body
        bint _expects_continue
        Py_ssize_t _limit
        object _on_body
        object _on_too_large
        Channel _protocol

    cpdef respond(self, Response response)
    cpdef read_body(self, Py_ssize_t max_size, on_body, on_too_large)
    cpdef expect_continue(self)
    cpdef bint take_continue(self) except -1
    cpdef bint is_drainable(self) except -1
    cpdef bint is_unread(self) except -1
    cpdef receive(self, bytes data)
    cpdef finish(self)
    cpdef gone(self)
    cpdef done(self)
    cpdef _too_large(self)
    cpdef _failed(self)
