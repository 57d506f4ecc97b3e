# cython: language_level=3
"""Shape of the Socket.IO packets, for the compiled modules of the upper rings."""

cimport cython


cdef class Packet:
    cdef readonly int kind      # the type as a plain number
    cdef public str namespace
    cdef public object data
    cdef public object id
    cdef list _attachments


cdef class EncodedPacket:
    cdef bytes _frame            # WebSocket text frame of "4" + text, as a server sends it
    cdef Py_ssize_t _offset      # where the text begins in _frame; below 0: text is not what comes first
    cdef readonly tuple attachments
    cdef readonly tuple event    # (name, *arguments) it was made from; None for other packets
    cdef bytes _text
    cdef bytes _frames3
    cdef bytes _frames4
    cdef list _messages

    cpdef bytes frames(self, int protocol)
    cpdef list messages(self)
    cdef bytes text_bytes(self)
    cdef bytes _build_frames(self, int protocol)


cdef class Decoder:
    cdef readonly int protocol
    cdef readonly Py_ssize_t max_attachments
    cdef readonly Py_ssize_t max_bytes
    cdef Packet _packet          # waiting for attachments, else None
    cdef Py_ssize_t _expected
    cdef Py_ssize_t _size        # bytes of _packet so far
    cdef object _loads           # the application's, in place of orjson's; else None

    cpdef Packet add(self, object data)
    cpdef Packet add_text(self, bytes data, Py_ssize_t offset=*)
    cpdef Packet add_binary(self, bytes data)
    cdef Packet _decode(self, const char* text, Py_ssize_t size, const char* errors)
    cdef Packet _complete(self)
    cdef Packet _unknown_type(self, unsigned char c)


cpdef bint is_reserved(object event) except -1
cpdef EncodedPacket encode_event(tuple args, object namespace=*, object id=*)
cpdef EncodedPacket encode_ack(object args, object namespace, object id)
cpdef EncodedPacket encode_packet(Packet packet, int protocol=*)
cpdef EncodedPacket assemble(
    int type, object namespace, object id, bytes payload, list attachments, tuple event=*
)
cpdef EncodedPacket encoded_messages(list messages, tuple event=*)
