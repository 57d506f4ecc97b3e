from cpython.ref cimport PyObject


cdef class Plan:
    cdef:
        readonly object convert
        readonly bint bound
        readonly bint serialize
        readonly object call


cdef class Listener:
    cdef:
        readonly object fn
        readonly Plan plan      # None: simply called
        bint once
        bint fired              # a once listener that was called
        int limit


cdef class EventEmitter:
    cdef:
        dict _events    # event -> tuple of Listener; None until the first registration

    cpdef int _listened(self, str event) except -1
    cpdef bint has_listeners(self, event) except -1
    cpdef bint _fire(self, str event, tuple args, object ack, bint trim, bint propagate) except -1
    cdef bint _call_listeners(
        self, str event, tuple args, object ack, bint trim, bint propagate
    ) except -1
    cdef bint _fire_event(self, list event, object ack) except -1
    cdef int _fire_planned(
        self, Listener listener, str event, tuple args, object ack, bint trim, bint propagate
    ) except -1
    cpdef object _plan(self, str event, object fn, bint serialize)
    cpdef object _call_in_turn(self, str event, object fn, object call, tuple given, object ack)
    cpdef object _share(self, EventEmitter source)
    cdef tuple _listeners_of(self, str event)
    cdef PyObject* _shared(self, str event) noexcept
    cdef dict _own(self)
    cdef int _store(self, str event, tuple listeners) except -1
    cdef int _add(self, str event, object fn, bint once, bint prepend, bint serialize) except -1
    cdef int _remove_entry(self, str event, Listener listener) except -1
