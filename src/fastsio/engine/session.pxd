# The layout of the compiled class; session.py is the source of its methods.
from fastsio._codec cimport EncodedPacket
from fastsio._emitter cimport EventEmitter
from fastsio.engine.counters cimport Counters
from fastsio.engine.request cimport Request, WebSocket
from fastsio.engine.sink cimport Sink
from fastsio.engine.timers cimport TimerWheel

cimport cython


cdef int MESSAGE, PING, PONG, CLOSE, _TEXT_MESSAGE, _PING_DUE, _PONG_DUE, _CLIENT_DUE


cdef class Session(EventEmitter):
    cdef:
        public object server
        readonly Counters counters
        public str id
        public int protocol
        public Request request
        public str ready_state
        public bint upgraded
        public bint supports_binary
        public double deadline
        public long long tick
        readonly list _buffer
        readonly Py_ssize_t _buffered_bytes
        bint _compress
        bint _extended
        int _phase
        bint _observed
        object _polling
        object _probe
        Sink _sink
        WebSocket _websocket
        object __weakref__

    @cython.locals(websocket=WebSocket)
    cpdef send_encoded(self, EncodedPacket packet, bint compress=*)
    cpdef on_text(self, bytes payload)
    cpdef on_binary(self, bytes payload)
    cpdef int _listened(self, str event) except -1
    cpdef flush(self)
    cdef _take_buffer(self)
    cpdef on_polled_packet(self, kind, data)
    cdef _on_packet(self, kind, data)
    cdef _on_message(self, data)

    @cython.locals(sink=Sink)
    cpdef end(self, reason, description=*)
    cpdef attach(self, Sink sink)

    @cython.locals(timers=TimerWheel)
    cpdef _open(self)
    cpdef open_websocket(self, websocket)
