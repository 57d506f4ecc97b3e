cdef class Listener:
    cdef:
        readonly object fn
        bint once
        bint fired      # a once listener that was called
        int limit


cdef class EventEmitter:
    cdef:
        dict _events    # event -> tuple of Listener; None until the first registration

    cpdef int _listened(self, str event) except -1
    cpdef bint _fire(self, str event, tuple args, object ack, bint trim, bint propagate) except -1
    cdef tuple _listeners_of(self, str event)
    cdef int _store(self, str event, tuple listeners) except -1
    cdef int _add(self, str event, object fn, bint once, bint prepend) except -1
    cdef int _remove_entry(self, str event, Listener listener) except -1
