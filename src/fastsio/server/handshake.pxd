# The layout of the compiled class; handshake.py is the source of its methods.

from fastsio.engine.request cimport Request


cdef class Handshake:
    cdef:
        readonly double issued
        object _auth
        dict _query
        Request _request
