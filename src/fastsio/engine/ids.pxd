# The layout of the compiled class; ids.py is the source of its methods.

cimport cython
from fastsio._base64 cimport session_id


cdef class _Ids:
    cdef:
        unsigned int _count
        bytes _random
        Py_ssize_t _used

    cpdef start_anew(self)

    @cython.locals(start=Py_ssize_t, count="unsigned int")
    cdef str next(self)


cdef _Ids _ids

cpdef str generate_id()
