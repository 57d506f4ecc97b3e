# The layout of the compiled classes; timers.py is the source of their methods.

cdef class TimerWheel:
    cdef:
        dict _buckets
        object _clock
        double _granularity
        object _handle
        object _scheduled

    cpdef arm(self, entry, delay)
    cpdef cancel(self, entry)
    cpdef _insert(self, entry, tick)
    cpdef _remove(self, entry)
