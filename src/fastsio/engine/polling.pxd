# The layout of the compiled class; polling.py is the source of its methods.

cimport cython
from fastsio._http cimport FixedHeaders
from fastsio._payload cimport decode_payload, encode_payload
from fastsio.engine.request cimport Request, Response, fixed_response
from fastsio.engine.session cimport Session


cdef class PollingTransport:
    cdef:
        public Request poll
        public Session session
        str _agent
        object _handshake_headers
        readonly Request _post
        str _jsonp

    cpdef on_request(self, Request request)
    cdef _on_get(self, Request request)

    @cython.locals(request=Request, session=Session, body=bytes, binary=bint, response=Response)
    cpdef send(self, packets, bint compress)
    cpdef release(self)
    cpdef finish(self)
    cpdef close(self)
    cdef _on_post(self, Request request)

    @cython.locals(request=Request, session=Session)
    cpdef _on_body(self, bytes body)

    @cython.locals(session=Session, binary=bint)
    cdef tuple _decode(self, Request request, bytes body)
    cdef _fail(self, reason, description)
    cdef _overlap(self, Request request)
    cdef _respond(self, Request request, Response response, bint initial=*)


cdef FixedHeaders _TEXT
cdef FixedHeaders _BINARY
cdef FixedHeaders _OK

cdef bint _is_binary(Request request) except -1
