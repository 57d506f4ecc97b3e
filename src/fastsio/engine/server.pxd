# The layout of the compiled class; server.py is the source of its methods.

cimport cython
from fastsio._emitter cimport EventEmitter
from fastsio._http cimport SessionQuery
from fastsio.engine.cors cimport CorsPolicy
from fastsio.engine.counters cimport Counters
from fastsio.engine.request cimport Request, Response
from fastsio.engine.session cimport Session
from fastsio.engine.timers cimport TimerWheel


cdef class EngineCore(EventEmitter):
    cdef:
        readonly Counters counters
        public object options
        public str path
        public dict sessions
        public object http_compression
        object _clock
        object _cookie
        CorsPolicy _cors
        object _deflate
        bint _observes
        readonly list _dirty
        public bint _fixed_clock
        list _middlewares
        str _mark
        dict _opening
        list _proxies
        TimerWheel _timers
        # Applications hang things on servers, as they do in Node.
        dict __dict__
        object __weakref__

    cpdef bint matches(self, Request request) except -1
    cpdef handle(self, Request request)
    cpdef bint handle_own(self, Request request) except -1

    @cython.locals(query=SessionQuery, sid=str, transport=str)
    cdef _serve(self, Request request)
    cpdef refuse(self, Request request, refusal)
    cpdef respond(self, Request request, Response response, bint initial=*, bint cors=*)
    cdef _check_origin(self, Request request)
    cdef str _check_transport(self, Request request, str transport)

    @cython.locals(session=Session)
    cdef _serve_session(self, Request request, str sid, str transport)
    cdef _turn_away(self, Request request)
    cdef _accept(self, Request request, receiver)
    cdef int _check_protocol(self, Request request) except -1

    @cython.locals(session=Session)
    cdef _handshake(self, Request request, str transport, int protocol, str sid)
    cdef _follow_loop(self)
    cpdef int _listened(self, str event) except -1
    cpdef flush_soon(self, Session session)
    cpdef forget(self, Session session)


cdef int _protocol_of(Request request) except -1
