# The layout of the compiled class; websocket.py is the source of its methods.

from fastsio._frames cimport FrameParser
from fastsio.net.hub cimport Hub


cdef class WebSocketConnection:
    cdef:
        public object receiver
        public bint writable
        public bint compressed
        object _deadline
        object _deflate
        str _error
        Hub _hub
        Py_ssize_t _max_buffered
        list _out
        FrameParser _parser
        Py_ssize_t _pending
        bytes _ping
        bint _reading
        int _state
        object _transport
        object __weakref__

    cpdef write_frames(self, bytes frames)
    cpdef flush(self)
