# cython: language_level=3
"""Numbers in decimal, for the modules of the wire ring to inline."""


cdef inline int digit_count(long long value) noexcept nogil:
    """Digits of a number that is not negative."""
    cdef int count = 1
    while value >= 10:
        value //= 10
        count += 1
    return count


cdef inline unsigned char* write_digits(
    unsigned char* out, long long value, unsigned char zero
) noexcept nogil:
    """Write a number that is not negative, its digits counted up from `zero`; returns the end."""
    cdef int count = digit_count(value), i
    for i in range(count - 1, -1, -1):
        out[i] = <unsigned char>(zero + value % 10)
        value //= 10
    return out + count
