# The layout of the compiled class; streams.py is the source of its methods.


cdef class StreamTransport:
    cpdef write(self, data)
