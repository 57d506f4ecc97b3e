# The layout of the compiled class; session.py is the source of its methods.

from fastsio._codec cimport EncodedPacket
from fastsio._emitter cimport EventEmitter
from fastsio.engine.counters cimport Counters


cdef class Session(EventEmitter):
    cdef:
        public object server
        readonly Counters counters
        public str id
        public int protocol
        public object request
        public str ready_state
        public bint upgraded
        public bint supports_binary
        public object deadline
        public object tick
        readonly list _buffer
        readonly Py_ssize_t _buffered_bytes
        object _close_sink
        bint _compress
        bint _extended
        object _frame_sink
        object _message_sink
        int _phase
        bint _observed
        object _polling
        object _probe
        object _websocket
        object __weakref__

    cpdef send_encoded(self, EncodedPacket packet, bint compress=*)
    cpdef on_text(self, bytes payload)
    cpdef int _listened(self, str event) except -1
