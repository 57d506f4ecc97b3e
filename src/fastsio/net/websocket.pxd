# The layout of the compiled class; websocket.py is the source of its methods.
from fastsio._frames cimport FrameChain, FrameParser, chain_frames
from fastsio.engine.request cimport Request, WebSocket
from fastsio.engine.session cimport Session
from fastsio.net.hub cimport Hub
from fastsio.net.streams cimport StreamTransport

cimport cython


cdef int _TEXT, _BINARY, _OPEN, _CLOSING, _DONE


cdef class WebSocketConnection(WebSocket):
    cdef:
        object _deadline
        object _deflate
        str _error
        Hub _hub
        Py_ssize_t _max_buffered
        FrameChain _out
        FrameParser _parser
        bytes _ping
        bint _reading
        bint _secure
        int _state
        StreamTransport _stream
        object _transport
        object __weakref__

    @cython.locals(opcode=int, parser=FrameParser, payload=bytes, session=Session)
    cpdef data_received(self, bytes data)
    cdef _on_other(self, int opcode, bytes payload)

    @cython.locals(out=FrameChain, chain=FrameChain, hub=Hub)
    cpdef write_frames(self, bytes frames)

    @cython.locals(out=FrameChain)
    cpdef flush(self)
    cdef _on_close_frame(self, bytes payload)
    cdef _end(self)
    cdef _report(self, int code, str reason, str error)
    cdef _arm(self)


@cython.locals(key=bytes, head=bytes)
cpdef tuple check_handshake(Request request, Py_ssize_t max_message_size, per_message_deflate)
