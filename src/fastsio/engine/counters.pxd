# The layout of the compiled class; counters.py is the source of its methods.


cdef class Counters:
    cdef:
        public long long packets_received
        public long long bytes_received
        public long long packets_sent
        public long long bytes_sent
        public long long events_received
        public long long events_refused
        public long long acks_received
        public long long acks_sent
        public long long handler_errors
        public long long upgrades
        public long long sockets_connected
        public dict sessions_opened
        public dict sessions_closed
        public dict sockets_disconnected
        public dict requests_refused
