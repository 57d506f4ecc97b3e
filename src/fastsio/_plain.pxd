# cython: language_level=3
"""Short JSON arrays of plain strings, integers and attachments."""

cdef enum:
    # Bytes of the longest array that is read or written here; beyond, orjson's wide instructions win.
    PLAIN_LIMIT = 256


cdef bytes PLACEHOLDER  # what stands for an attachment, up to its number


cdef Py_ssize_t dump_plain(object values, char* out, Py_ssize_t* attachments) except -2
cdef list load_plain(const char* text, Py_ssize_t size, const char* errors)
