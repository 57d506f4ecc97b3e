# The tables and functions in C; headers.py is the source of them.

cdef dict _NAMES
cdef dict _VALUES
cdef frozenset _SHARED

cpdef str header_name(bytes name)
cpdef str header_value(str name, bytes value)
