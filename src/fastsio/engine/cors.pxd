# The layout of the compiled class; cors.py is the source of its methods.

cimport cython
from fastsio._http cimport FixedHeaders, encode_headers
from fastsio.engine.request cimport Request


cdef class CorsPolicy:
    cdef:
        readonly bint enabled
        str _allowed_headers
        dict _answers
        bint _constant
        bint _credentials
        bint _credentials_v2
        str _exposed_headers
        str _fixed
        str _max_age
        str _methods
        FixedHeaders _plain_answer
        int _preflight_status
        object _test
        dict _verdicts

    cpdef str refused_origin(self, Request request, str host)
    cdef bint _names(self, str origin) except -1

    @cython.locals(answer=FixedHeaders)
    cpdef FixedHeaders fixed(self, Request request)
    cpdef list headers(self, Request request)
