# The layout of the compiled class; polling.py is the source of its methods.

cdef class PollingTransport:
    cdef:
        public object poll
        public object session
        object _handshake_headers
        readonly object _post
        object _jsonp
