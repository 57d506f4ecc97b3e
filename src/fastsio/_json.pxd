# cython: language_level=3
"""JSON for the packets of the codec."""

cimport cython


@cython.final
cdef class Attachments:
    cdef list found      # None if there are none
    cdef bint as_json    # protocol 4 prints a Buffer in a packet that its caller did not call binary

    cdef object replace(self, object value)
    cdef Py_ssize_t add(self, object value) except -1


cdef bytes dump(object value, Attachments attachments)
cdef object load(const char* text, Py_ssize_t size, const char* errors)
cdef object load_with(object loads, const char* text, Py_ssize_t size, const char* errors)
