"""The Engine.IO server: the table of sessions, and what is checked before one exists."""

from __future__ import annotations

import asyncio
import inspect
import ipaddress
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

import orjson

from fastsio._emitter import EventEmitter
from fastsio.engine import errors, tasks
from fastsio.engine.compression import HttpCompression
from fastsio.engine.cookie import CookieTemplate
from fastsio.engine.cors import CorsPolicy, valid_origin
from fastsio.engine.counters import Counters, count
from fastsio.engine.errors import Refusal, refusal_response
from fastsio.engine.ids import generate_id
from fastsio.engine.middleware import Middleware, run_middlewares
from fastsio.engine.polling import PollingTransport
from fastsio.engine.request import Headers, Request, Response, WebSocket, WebSocketReceiver
from fastsio.engine.session import Session
from fastsio.engine.timers import Clock, TimerWheel
from fastsio.engine.upgrade import Probe, Unwanted
from fastsio.exceptions import ConnectionRefused, OptionError
from fastsio.options import DeflateOptions, EngineOptions

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EngineCore"]

logger = logging.getLogger("fastsio.engine")


class EngineCore(EventEmitter):
    """Serves Engine.IO requests that somebody else reads and answers; knows no socket.

    Events: ``connection(session)``; ``connection_error(refusal)``; ``initial_headers(headers, request)`` on
    the handshake's response and ``headers(headers, request)`` on every response, where ``headers`` is a list
    of ``(name, value)`` to add to; ``flush(session, packets)`` and ``drain(session)`` of every session.
    """

    def __init__(self, options: EngineOptions, clock: Clock | None = None) -> None:
        self.options = options
        self.path = options.path.rstrip("/") + "/"
        self.sessions: dict[str, Session] = {}
        self.counters = Counters()
        # The part of the open packet behind the id, by protocol and by whether an upgrade is offered.
        self._opening: dict[tuple[int, bool], str] = {}
        self.http_compression = HttpCompression(options.http_compression)
        self._cors = CorsPolicy(options.cors)
        cookie = options.cookie
        self._cookie = None if cookie is None or cookie is False else CookieTemplate(cookie)
        self._deflate = DeflateOptions.read(options.per_message_deflate)
        try:
            self._proxies = [ipaddress.ip_network(entry, strict=False) for entry in options.trusted_proxies]
        except ValueError as error:
            raise OptionError(f"option trusted_proxies: {error}") from error
        self._middlewares: list[Middleware] = []
        self._dirty: list[Session] = []
        # What the ids of sessions end with: the mark of a worker.
        self._mark = ""
        # Whether somebody listens to the packets of all sessions.
        self._observes = False
        self._fixed_clock = clock is not None
        self._clock = clock
        self._timers: TimerWheel | None = None

    # -- options that can be changed ------------------------------------------------------------------

    def set_option(self, name: str, value: Any) -> None:
        """Change one of ``options`` for what comes: ``path``, ``cors``, ``generate_id``, ``transports``, the
        heartbeat or ``max_http_buffer_size``.

        :raises OptionError: for a value it cannot take.
        """
        options = replace(self.options, **{name: value})
        self._cors = CorsPolicy(options.cors)
        self.path = options.path.rstrip("/") + "/"
        self.options = options
        self._opening.clear()

    def allows_origin(self, request: Request) -> bool:
        """Whether option ``cors`` lets the page in that ``request`` comes from."""
        return self._cors.refused_origin(request, request.headers.get("host", "")) is None

    @property
    def generate_id(self) -> Callable[[Request], Any]:
        """What gives a new session its id, plain or async; may be replaced."""
        return self.options.generate_id or (lambda request: generate_id())

    @generate_id.setter
    def generate_id(self, fn: Callable[[Request], Any]) -> None:
        self.set_option("generate_id", fn)

    def mark_ids(self, mark: str) -> None:
        """Have the ids of new sessions end with ``mark``."""
        self._mark = mark

    # -- facts ----------------------------------------------------------------------------------------

    @property
    def clients_count(self) -> int:
        """How many sessions are open."""
        return len(self.sessions)

    @property
    def clients(self) -> dict[str, Session]:
        """The open sessions by id."""
        return self.sessions

    @property
    def clock(self) -> Clock:
        """The running event loop, or the clock given at construction."""
        clock = self._clock
        if clock is None:
            clock = self._clock = asyncio.get_running_loop()
        return clock

    @clock.setter
    def clock(self, clock: Clock) -> None:
        self._clock = clock

    @property
    def timers(self) -> TimerWheel:
        """The deadlines of all sessions."""
        timers = self._timers
        if timers is None:
            options = self.options
            shortest = min(
                options.ping_interval, options.ping_timeout, options.upgrade_timeout, options.close_timeout
            )
            timers = self._timers = TimerWheel(self.clock, max(0.001, min(0.05, shortest / 20)))
        return timers

    def handshake_data(self, session: Session) -> str:
        """The JSON of the open packet (Engine.IO protocol, "Handshake"), keys in the reference's order."""
        kind = (session.protocol, session.polling is not None)
        rest = self._opening.get(kind)
        if rest is None:
            rest = self._opening[kind] = self._opening_of(*kind)
        return f'{{"sid":{orjson.dumps(session.id).decode()},{rest}'

    def _opening_of(self, protocol: int, polling: bool) -> str:
        options = self.options
        upgrade = polling and options.allow_upgrades and "websocket" in options.transports
        data: dict[str, Any] = {
            "upgrades": ["websocket"] if upgrade else [],
            "pingInterval": round(options.ping_interval * 1000),
            "pingTimeout": round(options.ping_timeout * 1000),
        }
        if protocol == 4:
            data["maxPayload"] = options.max_http_buffer_size
        return orjson.dumps(data).decode()[1:]

    # -- requests -------------------------------------------------------------------------------------

    def matches(self, request: Request) -> bool:
        """Whether a request's URL is the engine's: it starts with ``path`` and a slash."""
        return request.path.startswith(self.path)

    def owns(self, path: str) -> bool:
        """Whether a request with that path is the engine's."""
        return path.startswith(self.path)

    def handle_own(self, request: Request) -> bool:
        """Serve a request whose path is :attr:`path` and nothing more; whether it is."""
        if request.path != self.path:
            return False
        self.handle(request)
        return True

    def use(self, fn: Callable[..., Any]) -> Self:
        """Have every request of the engine pass ``fn`` first: handshakes, polls, bodies, upgrades.

        :param fn: ``fn(request)``, plain or async, which refuses by raising; or Node's ``fn(request, next)``,
            which calls ``next()`` to go on and ``next(exception)`` to refuse. ``ConnectionRefused`` answers
            403 with its message, any other exception 400.
        """
        self._middlewares.append(Middleware(fn))
        return self

    def handle(self, request: Request) -> None:
        """Serve one request whose headers are complete."""
        try:
            self._check_origin(request)
            if request.method == "OPTIONS" and self._cors.enabled:
                self.respond(request, self._cors.preflight(request), False, False)
            elif self._middlewares:
                self._start(request, self._pass_middlewares(request))
            else:
                self._serve(request)
        except Refusal as refusal:
            self.refuse(request, refusal)

    def _serve(self, request: Request) -> None:
        query = request.session_query()
        transport = self._check_transport(request, query.transport)
        sid = query.sid
        if sid:
            self._serve_session(request, sid, transport)
            return
        if request.method != "GET":
            raise Refusal(errors.BAD_HANDSHAKE_METHOD, context={"method": request.method})
        if transport == "websocket" and not request.upgrade:
            raise Refusal(errors.BAD_REQUEST, context={"name": "TRANSPORT_HANDSHAKE_ERROR"})
        if self.options.allow_request is None and self.options.generate_id is None:
            protocol = self._check_protocol(request)
            self._handshake(request, transport, protocol, generate_id())
        else:
            self._start(request, self._ask_and_handshake(request, transport))

    def refuse(self, request: Request, refusal: Refusal) -> None:
        """Answer a request that is not served, and report it as ``connection_error``."""
        refusal.request = request
        count(self.counters.requests_refused, refusal.code)
        logger.debug("%r refused: %s %s", request, refusal, refusal.context)
        self._fire("connection_error", (refusal,), None, True, False)
        self.respond(request, refusal_response(refusal, request.upgrade))

    def respond(self, request: Request, response: Response, initial: bool = False, cors: bool = True) -> None:
        """Send a response with the headers that policies and listeners add."""
        if cors:
            response.add_fixed(self._cors.fixed(request))
        if initial and self.has_listeners("initial_headers"):
            self._fire("initial_headers", (response.headers, request), None, False, False)
        if self.has_listeners("headers"):
            self._fire("headers", (response.headers, request), None, False, False)
        request.exchange.respond(response)

    def _check_origin(self, request: Request) -> None:
        if not self._proxies and request.header("origin") is None and request.session_query().jsonp is None:
            return  # no page sent it
        host = self._forwarded(request)
        origin = self._cors.refused_origin(request, host)
        if origin is None:
            return
        if not valid_origin(origin):
            return  # refused with the request's other faults
        logger.warning(
            "origin %r refused: it is not the origin of %r, and option cors does not name it", origin, host
        )
        message = f"Origin {origin} is not allowed (option cors)"
        raise Refusal(errors.FORBIDDEN, message, {"name": "ORIGIN_NOT_ALLOWED", "origin": origin})

    def _forwarded(self, request: Request) -> str:
        """Take a trusted proxy's word for address and scheme; gives the host the client asked for."""
        host = request.header("host") or ""
        if not self._proxies or not self._trusted(request.remote_address):
            return host
        forwarded = request.header("x-forwarded-for") or ""
        hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
        while len(hops) > 1 and self._trusted(hops[-1]):
            hops.pop()
        if hops:
            request.remote_address = hops[-1]
        scheme = request.headers.get("x-forwarded-proto", request.scheme).split(",")[-1].strip().lower()
        request.scheme = "https" if scheme in ("https", "wss") else "http"
        return request.headers.get("x-forwarded-host", host).split(",")[-1].strip()

    def _trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return address == ""  # a Unix socket: only this machine can reach it
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._proxies)

    def _check_transport(self, request: Request, transport: str) -> str:
        if transport not in self.options.transports:
            raise Refusal(errors.TRANSPORT_UNKNOWN, context={"transport": transport})
        origin = request.header("origin")
        if origin is not None and not valid_origin(origin):
            raise Refusal(errors.BAD_REQUEST, context={"name": "INVALID_ORIGIN", "origin": origin})
        return transport

    # -- hooks ----------------------------------------------------------------------------------------

    def _start(self, request: Request, hooks: Coroutine[Any, Any, None]) -> None:
        """Run a request's hooks; they go on to serve it."""
        tasks.start(hooks, on_error=partial(self._on_hook_error, request))

    def _on_hook_error(self, request: Request, error: BaseException) -> None:
        if not isinstance(error, Refusal):
            logger.error("%r failed", request, exc_info=error)
            error = Refusal(errors.BAD_REQUEST)
        self.refuse(request, error)

    async def _pass_middlewares(self, request: Request) -> None:
        with _Hook(request) as hook:
            try:
                await run_middlewares(self._middlewares, request)
            except ConnectionRefused as error:
                raise Refusal(errors.FORBIDDEN, error.message, {"message": error.message}) from error
            except Exception as error:
                logger.info("%r: a middleware refused: %r", request, error)
                raise Refusal(errors.BAD_REQUEST, context={"name": "MIDDLEWARE_FAILURE"}) from error
        if not hook.aborted:
            self._serve(request)

    async def _ask_and_handshake(self, request: Request, transport: str) -> None:
        with _Hook(request) as hook:
            if self.options.allow_request is not None:
                await self._ask(self.options.allow_request, request)
            protocol = self._check_protocol(request)
            sid = generate_id()
            if self.options.generate_id is not None:
                sid = await self._generate(self.options.generate_id, request)
        if not hook.aborted:
            self._handshake(request, transport, protocol, sid)

    async def _ask(self, allow_request: Callable[[Request], Any], request: Request) -> None:
        try:
            allowed = allow_request(request)
            if inspect.isawaitable(allowed):
                allowed = await allowed
        except ConnectionRefused as error:
            raise Refusal(errors.FORBIDDEN, error.message, {"message": error.message}) from error
        except Exception as error:
            logger.exception("option allow_request failed")
            raise Refusal(errors.FORBIDDEN) from error
        if allowed is False:
            raise Refusal(errors.FORBIDDEN)
        if isinstance(allowed, str):
            raise Refusal(errors.FORBIDDEN, allowed, {"message": allowed})

    async def _generate(self, generate: Callable[[Request], Any], request: Request) -> str:
        try:
            sid = generate(request)
            if inspect.isawaitable(sid):
                sid = await sid
            if not isinstance(sid, str) or not sid or sid + self._mark in self.sessions:
                raise ValueError(f"generate_id gave {sid!r}, not the id of a new session")
        except Exception as error:
            logger.exception("option generate_id failed")
            raise Refusal(errors.BAD_REQUEST, context={"name": "ID_GENERATION_ERROR"}) from error
        return sid

    # -- a session's requests -------------------------------------------------------------------------

    def _serve_session(self, request: Request, sid: str, transport: str) -> None:
        session = self.sessions.get(sid)
        if session is None:
            raise Refusal(errors.SESSION_UNKNOWN, context={"sid": sid})
        polling = session.polling
        if not request.upgrade and (transport != "polling" or polling is None):
            context = {"name": "TRANSPORT_MISMATCH", "transport": transport, "previous": session.transport}
            raise Refusal(errors.BAD_REQUEST, context=context)
        if session.protocol != _protocol_of(request):
            raise Refusal(errors.BAD_REQUEST, context={"name": "PROTOCOL_MISMATCH"})
        if request.upgrade:
            if transport == "websocket" and self.options.allow_upgrades and session.upgradable:
                probe = Probe(session, not request.session_query().base64)
                websocket = self._accept(request, probe)
                if websocket is not None:
                    # A listener of "headers" may have closed the session.
                    if session.upgradable:
                        session.begin_probe(probe)
                        probe.start(websocket)
                    else:
                        websocket.close()
            else:
                self._turn_away(request)
        else:
            assert polling is not None
            polling.on_request(request)

    def _turn_away(self, request: Request) -> None:
        """What a WebSocket out of place gets from the reference: accepted, and closed at once."""
        websocket = self._accept(request, Unwanted())
        if websocket is not None:
            websocket.close()

    def _accept(self, request: Request, receiver: WebSocketReceiver) -> WebSocket | None:
        headers = self._cors.headers(request)
        if not request.session_query().sid:
            self._fire("initial_headers", (headers, request), None, False, False)
        self._fire("headers", (headers, request), None, False, False)
        return request.exchange.accept_websocket(
            receiver,
            headers=headers,
            max_message_size=self.options.max_http_buffer_size,
            max_buffered_bytes=self.options.max_buffered_bytes,
            per_message_deflate=self._deflate,
        )

    # -- handshake ------------------------------------------------------------------------------------

    def _check_protocol(self, request: Request) -> int:
        protocol = _protocol_of(request)
        if protocol not in self.options.protocols:
            logger.warning(
                "EIO=%s refused: Engine.IO protocol %d is not served (option protocols)",
                request.query.get("EIO"),
                protocol,
            )
            raise Refusal(errors.UNSUPPORTED_PROTOCOL, context={"protocol": protocol})
        return protocol

    def _handshake(self, request: Request, transport: str, protocol: int, sid: str) -> None:
        self._follow_loop()
        limit = self.options.max_connections
        if limit is not None and len(self.sessions) >= limit:
            logger.warning("connection refused: %d are open (option max_connections)", limit)
            raise Refusal(errors.FORBIDDEN, "Too many connections", {"name": "MAX_CONNECTIONS"})
        if request.upgrade and transport == "polling":
            self._turn_away(request)
            return
        sid += self._mark
        session = Session(self, sid, protocol, request)
        if self._observes:
            session.observe()
        if transport == "websocket":
            websocket = self._accept(request, session)
            if websocket is None:
                return
            self.sessions[sid] = session
            session.open_websocket(websocket)
        else:
            self.sessions[sid] = session
            headers: Headers = []
            if self._cookie is not None:
                headers.append(("Set-Cookie", self._cookie.render(sid)))
            # Answered at the end of this loop turn: what the connection handler sends goes along.
            session.open_polling(PollingTransport(session, request, headers))
        count(self.counters.sessions_opened, (transport, protocol))
        self._fire("connection", (session,), None, False, False)

    def _listened(self, event: str) -> int:
        if event in ("flush", "drain"):
            self._observes = True
            for session in list(self.sessions.values()):
                session.observe()
        return 0

    def _follow_loop(self) -> None:
        """A server outlives loops that end, one test's after another's: it goes on with the running one."""
        if not self._fixed_clock:
            loop = asyncio.get_running_loop()
            if self._clock is not loop:
                # The sessions there were went with their loop.
                self.sessions.clear()
                self._dirty.clear()
                self._timers = None
                self._clock = loop

    # -- bookkeeping ----------------------------------------------------------------------------------

    def flush_soon(self, session: Session) -> None:
        """Flush ``session`` at the end of this loop turn, with all others that wait for the same."""
        if not self._dirty:
            self.clock.call_soon(self._flush_dirty)
        self._dirty.append(session)

    def _flush_dirty(self) -> None:
        dirty, self._dirty = self._dirty, []
        for session in dirty:
            session.flush()

    def forget(self, session: Session) -> None:
        """A session is over."""
        if self._timers is not None:
            self._timers.cancel(session)
        sessions, sid = self.sessions, session.id
        if sessions.get(sid) is session:
            del sessions[sid]

    def close_sessions(self) -> None:
        """End every session; what is queued leaves with the close where it can leave now."""
        for session in list(self.sessions.values()):
            session.close()
            session.close(discard=True)


class _Hook:
    """The time that a user's hook takes over a request: nobody else notices when its peer goes away."""

    __slots__ = ("_request", "aborted")

    def __init__(self, request: Request) -> None:
        self._request = request
        self.aborted = False

    def __enter__(self) -> Self:
        self._request.exchange.on_abort = self._on_abort
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._request.exchange.on_abort = None
        if isinstance(error, asyncio.CancelledError):
            self._request.exchange.abort()

    def _on_abort(self) -> None:
        self.aborted = True


def _protocol_of(request: Request) -> int:
    # The reference reads anything but "4" as protocol 3.
    return 4 if request.session_query().protocol == "4" else 3
