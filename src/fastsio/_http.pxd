# cython: language_level=3
"""Shape of the known heads and fixed headers, for the compiled modules of the upper rings."""


cdef class KnownHead:
    cdef readonly str method
    cdef readonly dict headers      # what the parser read; shared by requests, so never changed
    cdef readonly bint close
    cdef readonly bint upgrade
    cdef str varying                # the header whose value may differ, None if none may
    cdef bytes _before              # the block up to that value, or all of it
    cdef bytes _after               # and what follows the value


cdef class KnownHeads:
    cdef list _heads                # most recently used first
    cdef Py_ssize_t _limit, _max_target
    cdef str _path, _query          # of the last target: the next request may well have the same
    cdef bytes _path_bytes, _query_bytes
    # The parts of the request found last: offsets and sizes in its data.
    cdef Py_ssize_t _target, _target_size
    cdef Py_ssize_t _value, _value_size
    cdef readonly Py_ssize_t body

    cpdef KnownHead find(self, bytes data)
    cdef bint _match(self, KnownHead head, const char* data, Py_ssize_t size, Py_ssize_t position) noexcept
    cpdef str path(self, bytes data)
    cpdef str query_string(self, bytes data)
    cpdef str value(self, bytes data)
    cpdef KnownHead learn(
        self, bytes data, Py_ssize_t count, dict headers, bint close, bint upgrade
    )
    cpdef adopt(self, KnownHead head)


cdef class SessionQuery:
    cdef readonly str transport
    cdef readonly str sid
    cdef readonly str protocol
    cdef readonly str base64
    cdef readonly str jsonp


cdef class FixedHeaders:
    cdef readonly tuple pairs
    cdef readonly bytes lines


cpdef bytes build_response(
    bytes status, bytes common, FixedHeaders first, FixedHeaders second, bytes body, bint with_body
)
cpdef bytes encode_headers(headers)
cpdef SessionQuery read_session_query(str query)
