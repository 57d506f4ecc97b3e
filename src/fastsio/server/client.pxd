# The layout of the compiled class; client.py is the source of its methods.

cimport cython
from fastsio._codec cimport Decoder, Packet
from fastsio.engine.session cimport Session
from fastsio.engine.sink cimport Sink
from fastsio.engine.timers cimport TimerWheel
from fastsio.server.socket cimport Socket


cdef int _CONNECT, _DISCONNECT, _EVENT, _ACK, _CONNECT_ERROR, _BINARY_EVENT


cdef class Client(Sink):
    cdef:
        public object server
        public Session conn
        public int protocol
        public dict sockets
        public double deadline
        public long long tick
        set _admissions
        Decoder _decoder
        list _waiting
        object __weakref__

    @cython.locals(packet=Packet)
    cpdef on_frame(self, bytes payload)
    cpdef _on_decoded(self, Packet packet)

    @cython.locals(kind=int, socket=Socket)
    cpdef _on_packet(self, Packet packet)
    cdef _on_invalid(self, error)
    cdef _on_connect(self, Packet packet)
    cdef Socket _make_socket(self, namespace, handshake)

    @cython.locals(waiting=list)
    cdef _begin(self, Socket socket)
    cpdef remove(self, Socket socket)
