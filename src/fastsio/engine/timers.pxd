# The layout of the compiled class; timers.py is the source of its methods.

cimport cython


cdef class TimerWheel:
    cdef:
        dict _buckets
        object _clock
        double _granularity
        object _handle
        long long _scheduled

    @cython.locals(deadline=double, tick="long long", armed="long long")
    cpdef arm(self, entry, double delay)

    cpdef double due(self, double delay) except -1
    cpdef bint can_wait(self, long long tick, double deadline) except -1

    @cython.locals(armed="long long")
    cpdef cancel(self, entry)

    @cython.locals(ticks=double, tick="long long")
    cdef long long _tick(self, double deadline) except -1

    @cython.locals(bucket=set)
    cdef _insert(self, entry, long long tick)

    @cython.locals(bucket=set)
    cdef _remove(self, entry, long long tick)
    cdef _schedule(self, long long tick)
