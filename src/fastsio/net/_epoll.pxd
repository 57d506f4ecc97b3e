# cython: language_level=3
"""Shape of the sockets that share an epoll instance."""

cimport cython
from fastsio.net.streams cimport StreamTransport
from libc.stdint cimport uint8_t, uint32_t


cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        int fd

    # Packed on x86-64; the C compiler knows the layout.
    struct epoll_event:
        uint32_t events
        epoll_data_t data


cdef extern from "netinet/in.h" nogil:
    struct sockaddr:
        unsigned short sa_family

    # The largest address kept: IPv6.
    struct sockaddr_in6:
        unsigned short sin6_family


cdef enum:
    MAX_EVENTS = 128


@cython.final
cdef class Poller:
    cdef object _loop
    cdef int _epoll              # -1 once closed
    cdef bint _in_turn
    cdef list _watched           # by descriptor
    cdef list _callbacks         # called when the turn ends
    cdef list _unsent            # transports to flush after that
    cdef Py_ssize_t _unsent_size  # bytes written in this turn since the last flush
    cdef uint8_t* _buffer        # what every read goes through
    cdef epoll_event _events[MAX_EVENTS]

    cpdef bint at_end_of_turn(self, callback) except -1
    cdef int _flush(self) except -1
    cdef int _send_all(self) except -1
    cdef int _watch(self, object owner, int fd, uint32_t before, uint32_t interest) except -1
    cdef int _report(self, str message, object error, object transport) except -1


@cython.final
cdef class Acceptor:
    cdef Poller _poller
    cdef int _fd                 # for epoll alone; -1 once closed
    cdef uint32_t _interest
    cdef object _factory
    cdef object _socket

    cdef int _accept(self) except -1
    cdef int _adopt(self, int fd, const sockaddr* address, Py_ssize_t size) except -1


cdef class SocketTransport(StreamTransport):
    cdef Poller _poller
    cdef int _fd                 # -1 once closed
    cdef uint32_t _interest      # what epoll is asked for; 0: not watched
    cdef object _protocol
    cdef object _socket          # Python's duplicate of the descriptor, None until asked for
    cdef object _first           # bytes that wait to be sent, None if none do
    cdef object _rest            # a deque of what waits behind them, None until needed
    cdef Py_ssize_t _offset      # bytes of _first that are sent
    cdef Py_ssize_t _size        # bytes that wait
    cdef Py_ssize_t _high
    cdef Py_ssize_t _low
    cdef uint8_t _state
    cdef bint _reading
    cdef bint _paused            # the protocol was told to pause writing
    cdef bint _eof               # the write side ends, or has ended
    cdef sockaddr_in6 _peer

    cpdef write(self, data)
    cdef int _set_peer(self, const sockaddr* address, Py_ssize_t size) except -1
    cdef int _on_ready(self, uint32_t events) except -1
    cdef int _watch(self, uint32_t interest) except -1
    cdef int _receive(self) except -1
    cdef int _send(self) except -1
    cdef Py_ssize_t _send_some(self, Py_ssize_t* asked) except -2
    cdef int _advance(self, Py_ssize_t count) except -1
    cdef int _after_sending(self) except -1
    cdef int _tell_writable(self) except -1
    cdef int _update(self) except -1
    cdef int _lose(self, object error) except -1
    cdef int _call(self, str method) except -1
