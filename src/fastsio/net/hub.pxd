# The layout of the compiled class; hub.py is the source of its methods.

cimport cython
from fastsio._frames cimport FrameChain
from fastsio._http cimport KnownHeads
from fastsio.engine.request cimport WebSocket
from fastsio.engine.timers cimport TimerWheel


cdef class Hub:
    cdef:
        bytes _closing_headers
        list _dirty
        bint _full
        bytes _keeping_headers
        bint _scheduled
        public object app
        public bint closing
        public set connections
        public object handover
        readonly KnownHeads heads
        readonly double keep_alive_timeout
        public object limits
        public object loop
        readonly Py_ssize_t max_pipelined
        public list on_empty
        FrameChain newest
        public object poller
        public TimerWheel wheel

    cpdef bint add(self, connection) except -1
    cpdef replace(self, old, new)
    cpdef discard(self, connection)
    cpdef bytes common_headers(self, bint close)
    cpdef mark_dirty(self, WebSocket connection)

    @cython.locals(connection=WebSocket, dirty=list)
    cpdef _flush(self)
