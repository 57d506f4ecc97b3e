# The layout of the compiled classes; request.py is the source of their methods.

cimport cython
from fastsio._http cimport FixedHeaders, KnownHead, SessionQuery, build_response, read_session_query


cdef class Response:
    cdef:
        public object body
        public int status
        list _headers
        FixedHeaders _first
        FixedHeaders _second

    cpdef add_fixed(self, FixedHeaders headers)
    cpdef bytes encode(self, bytes common, bint with_body)


cdef bytes _OK


@cython.locals(response=Response)
cpdef Response fixed_response(int status, FixedHeaders headers, bytes body)


cdef class Request:
    cdef:
        public object exchange
        public str method
        public str path
        public str query_string
        public str remote_address
        public str scheme
        public object scope
        public bint upgrade
        KnownHead _head
        dict _headers
        dict _query
        SessionQuery _session_query
        str _target
        str _varying

    cpdef str header(self, str name)

    @cython.locals(found=SessionQuery)
    cpdef SessionQuery session_query(self)


@cython.locals(request=Request)
cpdef Request known_request(
    str method, str path, str query_string, KnownHead head, str varying, object exchange,
    str remote_address, str scheme,
)


cdef class WebSocket:
    cdef:
        public object receiver
        public bint writable
        public bint compressed

    cpdef write_frames(self, bytes frames)
    cpdef bint is_writable(self) except -1
    cpdef flush(self)
