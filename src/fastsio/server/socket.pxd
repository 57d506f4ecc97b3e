# The layout of the compiled classes; socket.py is the source of their methods.

from fastsio._codec cimport Packet
from fastsio.adapters.delivery cimport Recipient
from fastsio.server.operator cimport check_event


cdef class Ack:
    cdef:
        object _id
        Socket _socket


cdef class Socket(Recipient):
    cdef:
        public object nsp
        public object client
        public str id
        public object handshake
        public bint connected
        bint _special
        bint _ending
        dict _acks
        list _any
        object _data
        list _middlewares
        str _name
        readonly object recovery
        # Applications hang things on sockets, as they do in Node.
        dict __dict__
        object __weakref__

    cpdef _emit(self, tuple args, flags)

    cpdef on_event(self, Packet packet)
    cpdef _dispatch(self, list event, ack)
    cpdef _acknowledge(self, args, ack_id)
    cpdef object _plan(self, str event, object fn, bint serialize)
    cpdef object _call_in_turn(self, str event, object fn, object call, tuple given, object ack)
