# cython: language_level=3
"""Base64 for the compiled modules."""

# Letters that n bytes take, padding included.
cdef Py_ssize_t base64_size(Py_ssize_t n) noexcept nogil
# Writes base64_size(n) letters at out.
cdef void write_base64(unsigned char* out, const unsigned char* data, Py_ssize_t n) noexcept nogil
cdef bytes decode_base64(const unsigned char* text, Py_ssize_t n)
cdef bytes decode_base64_text(str text, Py_ssize_t start)

cpdef str session_id(bytes random, Py_ssize_t start, unsigned int number)
