# The layout of the compiled classes; http.py is the source of their methods.

from fastsio.net.hub cimport Hub


cdef class HttpExchange:
    cdef:
        public object on_abort
        public object request
        public object response
        public object task
        public bint answered
        public bint complete
        public bint close
        public bint is_head
        public bint version_1_0
        public object remaining
        public Py_ssize_t size
        object _body
        bint _expects_continue
        object _limit
        object _on_body
        object _on_too_large
        HttpProtocol _protocol


cdef class HttpProtocol:
    cdef:
        public object deadline
        public object tick
        str _address
        HttpExchange _current
        int _deadline_for
        Py_ssize_t _fed
        bint _feeding
        Py_ssize_t _header_count
        Py_ssize_t _header_size
        dict _headers
        bytes _held
        Hub _hub
        readonly object _parser
        int _phase
        object _queue
        bint _read_paused
        str _scheme
        bytes _target
        readonly object _transport
        Py_ssize_t _unsent
        object _waiter
        object _websocket
        bint _write_paused
        object __weakref__

    cpdef _feed(self, bytes data)
    cpdef bint _blocked(self)
    cpdef _arm(self, int purpose)
    cpdef _update_deadline(self)
