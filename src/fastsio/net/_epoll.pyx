# cython: language_level=3
"""Stream sockets on an epoll instance of their own, which the event loop watches as one descriptor (Linux).

A turn of the loop then takes everything that is ready in one callback: first all reads, with what they lead
to, then all writes. Nothing of the loop is paid per read or write, and the peers on this machine are woken
once per turn instead of once per message. The loop stays what it is; it sees one readable descriptor.

The classes are asyncio's transport and server in all that protocols use of them. What a protocol does is run
in a fresh copy of the context that listening began in, so that a context variable set for one connection is
never seen by another.
"""

import os
import socket
from asyncio.trsock import TransportSocket
from collections import deque

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.contextvars cimport PyContext_CopyCurrent, PyContext_Enter, PyContext_Exit
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EPROTO, errno
from libc.string cimport memcpy, memset

__all__ = ["Acceptor", "Poller", "SocketTransport"]

cdef extern from "sys/epoll.h" nogil:
    enum:
        EPOLL_CLOEXEC
        EPOLL_CTL_ADD
        EPOLL_CTL_DEL
        EPOLL_CTL_MOD
        EPOLLERR
        EPOLLHUP
        EPOLLIN
        EPOLLOUT
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event* event)
    int epoll_wait(int epfd, epoll_event* events, int maxevents, int timeout)

cdef extern from "sys/uio.h" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "sys/socket.h" nogil:
    ctypedef unsigned int socklen_t
    struct sockaddr_storage:
        unsigned short ss_family
    struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
    enum:
        AF_INET
        AF_INET6
        MSG_NOSIGNAL
        SHUT_WR
        SOCK_CLOEXEC
        SOCK_NONBLOCK
        SOL_SOCKET
        SO_ERROR
    int accept4(int fd, sockaddr* address, socklen_t* size, int flags)
    int getpeername(int fd, sockaddr* address, socklen_t* size)
    int getsockopt(int fd, int level, int name, void* value, socklen_t* size)
    ssize_t recv(int fd, void* buffer, size_t size, int flags)
    ssize_t send(int fd, const void* buffer, size_t size, int flags)
    ssize_t sendmsg(int fd, const msghdr* message, int flags)
    int shutdown(int fd, int how)

cdef extern from "arpa/inet.h" nogil:
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        unsigned short sin_port
        in_addr sin_addr
    ctypedef struct address6 "struct sockaddr_in6":
        unsigned short sin6_port
        unsigned int sin6_flowinfo
        unsigned int sin6_scope_id
        in6_addr sin6_addr
    enum:
        INET6_ADDRSTRLEN
    const char* inet_ntop(int family, const void* address, char* text, socklen_t size)
    unsigned short ntohs(unsigned short value)

cdef extern from "unistd.h" nogil:
    int close(int fd)

cdef enum:
    # As uvloop: a large message comes in few reads, and only the pages that are used are ever touched.
    READ_SIZE = 262_144
    # A block of this size, once freed, has glibc keep twice as much free memory, instead of 128 KiB
    # (mallopt(3), M_MMAP_THRESHOLD): what it gave back, each turn would fetch again, page by page.
    LARGE_BLOCK = 8_388_608
    # What may wait for the end of a turn: more would push out of the caches what is to be sent.
    MAX_UNSENT = 262_144
    # Connections taken in one turn; the rest of a burst waits for the next.
    MAX_ACCEPTS = 128
    # Buffers given to the kernel in one call.
    MAX_BUFFERS = 64
    # asyncio's limits of what waits to be sent.
    HIGH_WATER = 65_536
    LOW_WATER = 16_384

cdef enum:
    OPEN = 0
    CLOSING = 1    # what waits is sent, then the connection ends
    LOST = 2       # the protocol is told on the next turn of the loop

# Seconds without accepting after the system ran out of descriptors or memory, as in asyncio.
cdef double ACCEPT_PAUSE = 1.0


@cython.final
cdef class Poller:
    """An epoll instance and the loop that watches it.

    :param loop: a running loop that can watch descriptors.
    :raises OSError: if the system has no descriptor left.
    """

    def __cinit__(self, loop):
        self._epoll = -1
        self._buffer = <uint8_t*>PyMem_Malloc(READ_SIZE)
        if self._buffer is NULL:
            raise MemoryError
        PyMem_Free(PyMem_Malloc(LARGE_BLOCK))
        self._loop = loop
        self._watched = []
        self._callbacks = []
        self._unsent = []
        self._epoll = epoll_create1(EPOLL_CLOEXEC)
        if self._epoll < 0:
            raise OSError(errno, os.strerror(errno))

    def __init__(self, loop):
        loop.add_reader(self._epoll, self._turn)

    def __dealloc__(self):
        if self._epoll >= 0:
            close(self._epoll)
        PyMem_Free(self._buffer)

    def listen(self, sock, factory):
        """Accept connections on a bound socket, which belongs to the poller now.

        :param factory: called without arguments, gives a connection's protocol.
        """
        _prepare(sock)
        cdef Acceptor acceptor = Acceptor.__new__(Acceptor)
        acceptor._poller = self
        acceptor._socket = sock
        acceptor._factory = factory
        # The socket object closes its descriptor; this one is for epoll alone.
        acceptor._fd = os.dup(sock.fileno())
        acceptor._accept_again()
        return acceptor

    def adopt(self, sock, protocol):
        """Take over a connected socket, which is detached; gives its transport after ``connection_made``."""
        _prepare(sock)
        cdef SocketTransport transport = _transport(self, sock.detach(), protocol)
        cdef sockaddr_storage address
        cdef socklen_t size = sizeof(address)
        if getpeername(transport._fd, <sockaddr*>&address, &size) == 0:
            transport._set_peer(<sockaddr*>&address, size)
        protocol.connection_made(transport)
        if transport._state == OPEN:
            transport._update()
        return transport

    def close(self):
        """Stop watching; transports that are left end without a word."""
        if self._epoll >= 0:
            self._loop.remove_reader(self._epoll)
            close(self._epoll)
            self._epoll = -1
            self._watched.clear()

    def _turn(self):
        """The loop found something ready."""
        cdef int i, count, fd
        count = epoll_wait(self._epoll, self._events, MAX_EVENTS, 0)
        if count < 0:
            if errno == EINTR:
                return
            raise OSError(errno, os.strerror(errno))
        self._in_turn = True
        self._unsent_size = 0
        try:
            for i in range(count):
                fd = self._events[i].data.fd
                # Closed by an earlier event of this turn, perhaps even in use again: then whoever has the
                # descriptor now finds nothing to read.
                owner = self._watched[fd]
                if type(owner) is SocketTransport:
                    (<SocketTransport>owner)._on_ready(self._events[i].events)
                elif owner is not None:
                    (<Acceptor>owner)._accept()
                if self._unsent_size > MAX_UNSENT:
                    self._send_all()
                if self._epoll < 0:
                    break
        finally:
            self._flush()

    cpdef bint at_end_of_turn(self, callback) except -1:
        """Have ``callback`` called before what was written in this turn is sent; False outside of a turn."""
        if self._in_turn:
            self._callbacks.append(callback)
        return self._in_turn

    cdef int _flush(self) except -1:
        cdef list callbacks = self._callbacks
        if callbacks:
            self._callbacks = []
            for callback in callbacks:
                try:
                    callback()
                except Exception as error:
                    self._report("a callback at the end of a turn failed", error, None)
        self._in_turn = False
        return self._send_all()

    cdef int _send_all(self) except -1:
        """Send what was written in this turn."""
        cdef list unsent = self._unsent
        cdef SocketTransport transport
        self._unsent_size = 0
        if unsent:
            self._unsent = []
            for transport in unsent:
                if transport._state != LOST and transport._first is not None:
                    try:
                        transport._send()
                    except Exception as error:  # nobody else's writes wait for this one's fault
                        transport._lose(error)
        return 0

    cdef int _watch(self, object owner, int fd, uint32_t before, uint32_t interest) except -1:
        """Report these events of ``fd`` to ``owner`` instead of those before; 0 is none at all."""
        cdef epoll_event event
        cdef int operation = EPOLL_CTL_MOD
        if self._epoll < 0:
            return 0
        if interest == 0:
            operation = EPOLL_CTL_DEL
        elif before == 0:
            operation = EPOLL_CTL_ADD
        memset(&event, 0, sizeof(event))
        event.events = interest
        event.data.fd = fd
        if epoll_ctl(self._epoll, operation, fd, &event) < 0:
            raise OSError(errno, os.strerror(errno))
        if operation == EPOLL_CTL_DEL:
            self._watched[fd] = None
        elif operation == EPOLL_CTL_ADD:
            while len(self._watched) <= fd:
                self._watched.append(None)
            self._watched[fd] = owner
        return 0

    cdef int _report(self, str message, object error, object transport) except -1:
        self._loop.call_exception_handler({"message": message, "exception": error, "transport": transport})
        return 0


@cython.final
cdef class Acceptor:
    """A listening socket; made by :meth:`Poller.listen`."""

    def __cinit__(self):
        self._fd = -1

    def __dealloc__(self):
        if self._fd >= 0:
            close(self._fd)

    @property
    def sockets(self):
        """The listening socket, in a tuple, as a server of asyncio has them."""
        return () if self._fd < 0 else (self._socket,)

    def close(self):
        """Accept nothing more."""
        if self._fd >= 0:
            self._pause()
            close(self._fd)
            self._fd = -1
            self._socket.close()

    cdef int _accept(self) except -1:
        cdef sockaddr_storage address
        cdef socklen_t size
        cdef int fd, error
        for _ in range(MAX_ACCEPTS):
            if self._fd < 0:
                break
            size = sizeof(address)
            fd = accept4(self._fd, <sockaddr*>&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd >= 0:
                self._adopt(fd, <sockaddr*>&address, size)
                continue
            error = errno
            if error == EAGAIN:
                break
            if error in (EINTR, ECONNABORTED, EPROTO, EPERM):
                continue  # that connection is over, or a firewall does not want it
            if error in (EMFILE, ENFILE, ENOBUFS, ENOMEM):
                self._pause()
                self._poller._loop.call_later(ACCEPT_PAUSE, self._accept_again)
            self._poller._report(
                "accept() failed: out of system resource"
                if self._interest == 0
                else "accept() failed",
                OSError(error, os.strerror(error)),
                self,
            )
            break
        return 0

    def _pause(self):
        if self._interest:
            self._interest = 0
            self._poller._watch(self, self._fd, EPOLLIN, 0)

    def _accept_again(self):
        if self._fd >= 0 and not self._interest:
            self._interest = EPOLLIN
            self._poller._watch(self, self._fd, 0, EPOLLIN)

    cdef int _adopt(self, int fd, const sockaddr* address, Py_ssize_t size) except -1:
        cdef SocketTransport transport
        try:
            transport = _transport(self._poller, fd, None)
        except BaseException:
            close(fd)
            raise
        transport._set_peer(address, size)
        context = PyContext_CopyCurrent()
        PyContext_Enter(context)
        try:
            protocol = transport._protocol = self._factory()
            protocol.connection_made(transport)
            if transport._state == OPEN:
                transport._update()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            transport._lose(error)
            self._poller._report("a new connection failed", error, transport)
        finally:
            PyContext_Exit(context)
        return 0


cdef int _prepare(object sock) except -1:
    sock.setblocking(False)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        # As every loop does; what a listening socket has, those it accepts have too.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return 0


cdef SocketTransport _transport(Poller poller, int fd, object protocol):
    cdef SocketTransport transport = SocketTransport.__new__(SocketTransport)
    transport._poller = poller
    transport._fd = fd
    transport._protocol = protocol
    transport._high = HIGH_WATER
    transport._low = LOW_WATER
    transport._reading = True
    return transport


cdef class SocketTransport(StreamTransport):
    """One connected stream socket, as ``asyncio.Transport``.

    What is written in a turn of the poller is sent when the turn ends, at any other time at once.
    """

    def __cinit__(self):
        self._fd = -1

    def __dealloc__(self):
        if self._fd >= 0:
            close(self._fd)

    cdef int _set_peer(self, const sockaddr* address, Py_ssize_t size) except -1:
        if size <= <Py_ssize_t>sizeof(self._peer):
            memcpy(&self._peer, address, size)
        return 0

    # -- facts ----------------------------------------------------------------------------------------

    def get_extra_info(self, name, default=None):
        """``peername``, ``sockname`` or ``socket``."""
        if name == "peername":
            return _address(&self._peer, default)
        if name != "sockname" and name != "socket" or self._fd < 0:
            return default
        if self._socket is None:
            self._socket = socket.socket(fileno=os.dup(self._fd))
        return TransportSocket(self._socket) if name == "socket" else self._socket.getsockname()

    def get_protocol(self):
        return self._protocol

    def set_protocol(self, protocol):
        self._protocol = protocol

    def is_closing(self):
        return self._state != OPEN

    def is_reading(self):
        return self._reading and self._state == OPEN

    def can_write_eof(self):
        return True

    def get_write_buffer_size(self):
        return self._size

    def get_write_buffer_limits(self):
        return self._low, self._high

    def set_write_buffer_limits(self, high=None, low=None):
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low

    # -- reading --------------------------------------------------------------------------------------

    def pause_reading(self):
        self._reading = False
        self._update()

    def resume_reading(self):
        self._reading = True
        self._update()

    cdef int _on_ready(self, uint32_t events) except -1:
        cdef int error = 0
        cdef socklen_t size = sizeof(error)
        if events & EPOLLOUT and self._state != LOST and self._first is not None:
            self._send()
        if self._state == OPEN and self._reading:
            if events & (EPOLLIN | EPOLLHUP | EPOLLERR):
                self._receive()
        elif events & (EPOLLHUP | EPOLLERR) and self._state != LOST:
            # Nobody reads, so nobody would notice; and epoll would tell it again and again.
            getsockopt(self._fd, SOL_SOCKET, SO_ERROR, &error, &size)
            if error:
                self._lose(OSError(error, os.strerror(error)))
            else:
                self._watch(0)
        return 0

    cdef int _receive(self) except -1:
        cdef Py_ssize_t count = recv(self._fd, self._poller._buffer, READ_SIZE, 0)
        if count < 0:
            if errno != EAGAIN and errno != EINTR:
                self._lose(OSError(errno, os.strerror(errno)))
            return 0
        context = PyContext_CopyCurrent()
        PyContext_Enter(context)
        try:
            if count > 0:
                self._protocol.data_received(
                    PyBytes_FromStringAndSize(<char*>self._poller._buffer, count)
                )
            elif self._protocol.eof_received():
                self._reading = False
                self._update()
            else:
                self.close()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._poller._report("a protocol failed to take what was read", error, self)
            self._lose(error)
        finally:
            PyContext_Exit(context)
        return 0

    # -- writing --------------------------------------------------------------------------------------

    cpdef write(self, data):
        """Send ``data``, or have it wait its turn; dropped once the transport closes."""
        if not isinstance(data, bytes):
            data = bytes(data)
        if self._state != OPEN or self._eof or not PyBytes_GET_SIZE(data):
            return
        self._size += PyBytes_GET_SIZE(data)
        self._poller._unsent_size += PyBytes_GET_SIZE(data)
        if self._first is None:
            self._first = data
            if self._poller._in_turn:
                self._poller._unsent.append(self)
            else:
                self._send()
            return
        if self._rest is None:
            self._rest = deque()
        self._rest.append(data)
        if self._size > self._high and not self._paused:
            self._send()

    def writelines(self, parts):
        self.write(b"".join(parts))

    def write_eof(self):
        """End the write side behind what waits to be sent."""
        if self._state == OPEN and not self._eof:
            self._eof = True
            self._send()

    cdef int _send(self) except -1:
        """Hand what waits to the kernel; what it does not take now goes when it has room."""
        cdef Py_ssize_t sent, asked
        while self._first is not None:
            sent = self._send_some(&asked)
            if sent < 0:
                if errno == EINTR:
                    continue
                if errno != EAGAIN:
                    self._lose(OSError(errno, os.strerror(errno)))
                    return 0
                break
            self._advance(sent)
            if sent < asked:
                break
        return self._after_sending()

    cdef Py_ssize_t _send_some(self, Py_ssize_t* asked) except -2:
        cdef iovec buffers[MAX_BUFFERS]
        cdef msghdr message
        cdef bytes part = self._first
        cdef int count = 1
        cdef char* start = PyBytes_AS_STRING(part) + self._offset
        asked[0] = PyBytes_GET_SIZE(part) - self._offset
        if not self._rest:
            return send(self._fd, start, asked[0], MSG_NOSIGNAL)
        buffers[0].iov_base = start
        buffers[0].iov_len = asked[0]
        for part in self._rest:  # which keeps them alive
            if count == MAX_BUFFERS:
                break
            buffers[count].iov_base = PyBytes_AS_STRING(part)
            buffers[count].iov_len = PyBytes_GET_SIZE(part)
            asked[0] += PyBytes_GET_SIZE(part)
            count += 1
        memset(&message, 0, sizeof(message))
        message.msg_iov = buffers
        message.msg_iovlen = count
        return sendmsg(self._fd, &message, MSG_NOSIGNAL)

    cdef int _advance(self, Py_ssize_t count) except -1:
        """Forget what the kernel has taken."""
        cdef Py_ssize_t left
        self._size -= count
        while self._first is not None:
            left = PyBytes_GET_SIZE(self._first) - self._offset
            if count < left:
                self._offset += count
                break
            count -= left
            self._offset = 0
            self._first = self._rest.popleft() if self._rest else None
        return 0

    cdef int _after_sending(self) except -1:
        if self._first is not None:
            self._watch(self._interest | EPOLLOUT)
            if self._state == OPEN:
                self._tell_writable()
            return 0
        if self._interest & EPOLLOUT:
            self._rest = None
            self._update()
        if self._eof:
            shutdown(self._fd, SHUT_WR)
        if self._state == CLOSING:
            self._lose(None)
        else:
            self._tell_writable()
        return 0

    cdef int _tell_writable(self) except -1:
        if self._paused:
            if self._size <= self._low:
                self._paused = False
                self._call("resume_writing")
        elif self._size > self._high:
            self._paused = True
            self._call("pause_writing")
        return 0

    cdef int _watch(self, uint32_t interest) except -1:
        cdef uint32_t before = self._interest
        if interest != before and self._fd >= 0:
            self._interest = interest
            self._poller._watch(self, self._fd, before, interest)
        return 0

    cdef int _update(self) except -1:
        """Have epoll report what matters now."""
        cdef uint32_t interest = 0
        if self._state != LOST:
            interest = EPOLLERR  # reported in any case; so the end of a connection that nobody reads is
            if self._reading and self._state == OPEN:
                interest |= EPOLLIN
            if self._first is not None and self._interest & EPOLLOUT:
                interest |= EPOLLOUT
        return self._watch(interest)

    # -- the end --------------------------------------------------------------------------------------

    def close(self):
        """Send what waits, then end the connection; nothing more is read."""
        if self._state == OPEN:
            self._state = CLOSING
            self._update()
            self._send()

    def abort(self):
        """End the connection at once."""
        if self._state != LOST:
            self._lose(None)

    cdef int _lose(self, object error) except -1:
        """The connection is over: the protocol learns it on the next turn of the loop."""
        if self._state != LOST:
            self._state = LOST
            self._watch(0)
            self._first = self._rest = None
            self._size = 0
            self._poller._loop.call_soon(self._finish, error)
        return 0

    def _finish(self, error):
        # Only now is the descriptor free to be used again: nobody can write to somebody else's.
        protocol, self._protocol = self._protocol, None
        try:
            if protocol is not None:
                protocol.connection_lost(error)
        finally:
            if self._socket is not None:
                self._socket.close()
            close(self._fd)
            self._fd = -1

    cdef int _call(self, str method) except -1:
        try:
            getattr(self._protocol, method)()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._poller._report(f"protocol.{method}() failed", error, self)
        return 0


cdef object _address(sockaddr_in6* address, object default):
    """The address as Python's socket module gives it; ``default`` for another family than the internet's."""
    cdef char text[INET6_ADDRSTRLEN]
    cdef address6* six = <address6*>address
    cdef sockaddr_in* four = <sockaddr_in*>address
    if address.sin6_family == AF_INET:
        inet_ntop(AF_INET, &four.sin_addr, text, sizeof(text))
        return text.decode("ascii"), ntohs(four.sin_port)
    if address.sin6_family == AF_INET6:
        inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof(text))
        return text.decode("ascii"), ntohs(six.sin6_port), six.sin6_flowinfo, six.sin6_scope_id
    return default
