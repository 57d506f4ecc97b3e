# The layout of the compiled class; http.py is the source of its methods.

from fastsio._http cimport KnownHead, KnownHeads, encode_headers
from fastsio.engine.request cimport Request, Response, known_request
from fastsio.net.exchange cimport Channel, HttpExchange
from fastsio.net.headers cimport header_name, header_value
from fastsio.net.hub cimport Hub

cimport cython


cdef class HttpProtocol(Channel):
    cdef:
        public double deadline
        public long long tick
        str _address
        HttpExchange _current
        int _deadline_for
        Py_ssize_t _fed
        bint _feeding
        bytes _fresh
        Py_ssize_t _header_count
        Py_ssize_t _header_size
        dict _headers
        KnownHeads _heads
        bytes _early
        bytes _held
        Hub _hub
        readonly object _parser
        int _phase
        list _queue
        bint _read_paused
        str _scheme
        bytes _target
        readonly object _transport
        Py_ssize_t _unsent
        object _waiter
        object _websocket
        bint _write_paused
        object __weakref__

    cpdef data_received(self, bytes data)

    @cython.locals(position=Py_ssize_t, end=Py_ssize_t, stop=Py_ssize_t, current=HttpExchange)
    cdef _feed(self, bytes data)
    cdef _fed_all(self, bytes rest)

    @cython.locals(
        body=Py_ssize_t, size=Py_ssize_t, exchange=HttpExchange, request=Request, hub=Hub,
        head=KnownHead, heads=KnownHeads, varying=str,
    )
    cdef bint _take_known(self, bytes data) except -1
    cdef _handle(self, Request request, HttpExchange exchange)
    cdef _learn(self, bytes data, HttpExchange exchange, bint upgrade)
    cdef _check_fed(self)
    cdef _on_parser_error(self, error)
    cdef _skip_upgrade(self)

    @cython.locals(current=HttpExchange)
    cdef bint _blocked(self) except -1
    cdef _hold(self, bytes data)
    cdef _pause_reading(self)
    cdef _resume_reading(self)
    cdef _unblock(self)
    cpdef on_message_begin(self)
    cpdef on_url(self, bytes url)
    cpdef on_header(self, bytes name, bytes value)
    cpdef on_headers_complete(self)

    @cython.locals(current=HttpExchange)
    cpdef on_body(self, bytes data)

    @cython.locals(current=HttpExchange)
    cpdef on_message_complete(self)

    @cython.locals(exchange=HttpExchange, response=Response, whole=bytes)
    cpdef send_responses(self)
    cdef _head(self, HttpExchange exchange, Response response)
    cdef _finish(self, HttpExchange exchange)
    cdef _refuse(self, int status)
    cdef _linger(self)
    cdef _close(self)
    cdef _drop_queue(self)
    cdef _wake(self)
    cdef _update_deadline(self)

    @cython.locals(hub=Hub, deadline=double)
    cdef _arm(self, int purpose)
    cdef _arm_write(self)
    cdef str _peer(self)
