# The layout of the compiled classes; socket.py is the source of their methods.

from fastsio._codec cimport EncodedPacket, Packet, encode_ack, encode_event
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

    # Not looked up in the dict, as cpdef methods are.
    cdef _send_event(self, tuple args, flags)
    cdef on_event(self, Packet packet)
    cdef _dispatch(self, list event, ack)
    cdef _acknowledge(self, args, ack_id)
    cpdef object _plan(self, str event, object fn, bint serialize)
    cpdef object _call_in_turn(self, str event, object fn, object call, tuple given, object ack)
