# The layout of the compiled classes; request.py is the source of their methods.

cdef class Response:
    cdef:
        public object body
        public list headers
        public int status


cdef class Request:
    cdef:
        dict _query
        public object exchange
        public dict headers
        public str method
        public str path
        public str query_string
        public str remote_address
        public str scheme
        public str target
        public bint upgrade
