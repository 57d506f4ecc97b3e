# The layout of the compiled class; client.py is the source of its methods.

from fastsio._codec cimport Decoder, Packet
from fastsio.engine.session cimport Session
from fastsio.server.socket cimport Socket


cdef class Client:
    cdef:
        public object server
        public Session conn
        public int protocol
        public dict sockets
        public object deadline
        public object tick
        set _admissions
        Decoder _decoder
        list _waiting
        object __weakref__

    cpdef _on_decoded(self, Packet packet)
    cpdef _on_packet(self, Packet packet)
