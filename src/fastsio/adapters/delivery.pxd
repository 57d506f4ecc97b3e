# The layout of the compiled class; delivery.py is the source of its methods.

cimport cython
from fastsio._codec cimport EncodedPacket
from fastsio._emitter cimport EventEmitter
from fastsio.engine.session cimport Session


cdef class Recipient(EventEmitter):
    cdef:
        readonly Session _session
        list _outgoing

    # Not looked up in the socket's dict, as what is called from outside is.
    @cython.locals(session=Session)
    cdef _take(self, EncodedPacket packet, flags)
    cpdef send_encoded(self, EncodedPacket packet, flags)
    cpdef _show_outgoing(self, EncodedPacket packet)


@cython.locals(recipient=Recipient)
cpdef deliver(list sockets, EncodedPacket packet, flags)
