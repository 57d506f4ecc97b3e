# The layout of the compiled class; hub.py is the source of its methods.

cdef class Hub:
    cdef:
        str _date
        object _date_second
        list _dirty
        bint _full
        bint _scheduled
        public object app
        public bint closing
        public set connections
        public str keep_alive_headers
        public object limits
        public object loop
        public list on_empty
        public object wheel

    cpdef mark_dirty(self, connection)
