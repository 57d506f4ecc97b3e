"""The Engine.IO server: the table of sessions, and what is checked before one exists."""

from __future__ import annotations

import asyncio
import inspect
import ipaddress
import logging
from collections.abc import Iterable
from typing import Any

import orjson

from fastsio._emitter import EventEmitter
from fastsio.engine import errors, tasks
from fastsio.engine.compression import HttpCompression
from fastsio.engine.cookie import CookieTemplate
from fastsio.engine.cors import CorsPolicy, valid_origin
from fastsio.engine.errors import Refusal, refusal_response
from fastsio.engine.ids import generate_id
from fastsio.engine.polling import PollingTransport
from fastsio.engine.request import Headers, Request, Response, WebSocket
from fastsio.engine.session import Session
from fastsio.engine.timers import Clock, TimerWheel
from fastsio.engine.upgrade import Probe
from fastsio.options import EngineOptions

__all__ = ["EngineCore"]

logger = logging.getLogger("fastsio.engine")


class EngineCore(EventEmitter):
    """Serves Engine.IO requests that somebody else reads and answers; knows no socket.

    Events: ``connection(session)``; ``connection_error(refusal)``; ``initial_headers(headers, request)`` on
    the handshake's response and ``headers(headers, request)`` on every response, where ``headers`` is a list
    of ``(name, value)`` to add to.
    """

    def __init__(self, options: EngineOptions, clock: Clock | None = None) -> None:
        self.options = options
        self.path = options.path.rstrip("/") + "/"
        self.sessions: dict[str, Session] = {}
        self.http_compression = HttpCompression(options.http_compression)
        self._cors = CorsPolicy(options.cors)
        self._cookie = CookieTemplate(options.cookie) if options.cookie else None
        self._deflate: dict[str, Any] | None = None
        if options.per_message_deflate is True:
            self._deflate = {}
        elif options.per_message_deflate:
            self._deflate = dict(options.per_message_deflate)
        self._proxies = [ipaddress.ip_network(entry, strict=False) for entry in options.trusted_proxies]
        self._clock = clock
        self._timers: TimerWheel | None = None
        self._dirty: list[Session] = []

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
        if self._clock is None:
            self._clock = asyncio.get_running_loop()
        return self._clock

    @property
    def timers(self) -> TimerWheel:
        """The deadlines of all sessions."""
        if self._timers is None:
            shortest = min(self.options.ping_interval, self.options.ping_timeout)
            self._timers = TimerWheel(self.clock, max(0.005, min(0.25, shortest / 20)))
        return self._timers

    def handshake_data(self, session: Session) -> str:
        """The JSON of a session's open packet, keys in the reference's order (Engine.IO protocol, "Handshake")."""
        data: dict[str, Any] = {
            "sid": session.id,
            "upgrades": self._upgrades(session),
            "pingInterval": round(self.options.ping_interval * 1000),
            "pingTimeout": round(self.options.ping_timeout * 1000),
        }
        if session.protocol == 4:
            data["maxPayload"] = self.options.max_http_buffer_size
        return orjson.dumps(data).decode()

    def _upgrades(self, session: Session) -> list[str]:
        if (
            session.transport == "polling"
            and self.options.allow_upgrades
            and "websocket" in self.options.transports
        ):
            return ["websocket"]
        return []

    # -- requests -------------------------------------------------------------------------------------

    def matches(self, request: Request) -> bool:
        """Whether a request's URL is the engine's: it starts with ``path`` and a slash."""
        return request.path.startswith(self.path)

    def handle(self, request: Request) -> None:
        """Serve one request whose headers are complete."""
        try:
            self._check_origin(request)
            if request.method == "OPTIONS" and self._cors.enabled:
                self.respond(request, self._cors.preflight(request), cors=False)
                return
            sid = request.query.get("sid")
            transport = self._check_transport(request)
            if sid:
                self._serve_session(request, sid, transport)
                return
            if request.method != "GET":
                raise Refusal(errors.BAD_HANDSHAKE_METHOD, context={"method": request.method})
            if transport == "websocket" and not request.upgrade:
                raise Refusal(errors.BAD_REQUEST, context={"name": "TRANSPORT_HANDSHAKE_ERROR"})
            if self.options.allow_request is None and self.options.generate_id is None:
                self._handshake(request, transport, generate_id())
            else:
                tasks.start(
                    self._ask_and_handshake(request, transport),
                    on_error=lambda error: self._on_hook_error(request, error),
                )
        except Refusal as refusal:
            self.refuse(request, refusal)

    def refuse(self, request: Request, refusal: Refusal) -> None:
        """Answer a request that is not served, and report it as ``connection_error``."""
        refusal.request = request
        logger.debug("%r refused: %s %s", request, refusal.message, refusal.context)
        self._fire("connection_error", (refusal,), None, True, False)
        self.respond(request, refusal_response(refusal, request.upgrade, []))

    def respond(
        self, request: Request, response: Response, *, initial: bool = False, cors: bool = True
    ) -> None:
        """Send a response with the headers that policies and listeners add."""
        if cors:
            response.headers.extend(self._cors.headers(request))
        self._add_headers(request, response.headers, initial)
        request.exchange.respond(response)

    def _add_headers(self, request: Request, headers: Headers, initial: bool) -> None:
        if initial:
            self._fire("initial_headers", (headers, request), None, False, False)
        self._fire("headers", (headers, request), None, False, False)

    def _check_origin(self, request: Request) -> None:
        host = self._forwarded(request)
        origin = request.headers.get("origin")
        if origin is not None and not valid_origin(origin):
            raise Refusal(errors.BAD_REQUEST, context={"name": "INVALID_ORIGIN", "origin": origin})
        try:
            allowed = self._cors.allows(request, host)
        except Exception:
            logger.exception("option cors: the callable failed for origin %r", origin)
            allowed = False
        if not allowed:
            logger.warning(
                "origin %r refused: it is not the origin of %r, and option cors does not name it",
                origin,
                host,
            )
            message = f"Origin {origin} is not allowed (option cors)"
            raise Refusal(errors.FORBIDDEN, message, {"name": "ORIGIN_NOT_ALLOWED", "origin": origin})

    def _forwarded(self, request: Request) -> str:
        """Take a trusted proxy's word for address and scheme; gives the host the client asked for."""
        host = request.headers.get("host", "")
        if not self._proxies or not self._trusted(request.remote_address):
            return host
        hops = [hop.strip() for hop in request.headers.get("x-forwarded-for", "").split(",") if hop.strip()]
        while len(hops) > 1 and self._trusted(hops[-1]):
            hops.pop()
        if hops:
            request.remote_address = hops[-1]
        request.scheme = request.headers.get("x-forwarded-proto", request.scheme).split(",")[-1].strip()
        return request.headers.get("x-forwarded-host", host).split(",")[-1].strip()

    def _trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return address == ""  # a Unix socket: only this machine can reach it
        return any(parsed in network for network in self._proxies)

    def _check_transport(self, request: Request) -> str:
        transport = request.query.get("transport", "")
        if transport not in self.options.transports:
            raise Refusal(errors.TRANSPORT_UNKNOWN, context={"transport": transport})
        return transport

    # -- a session's requests -------------------------------------------------------------------------

    def _serve_session(self, request: Request, sid: str, transport: str) -> None:
        session = self.sessions.get(sid)
        if session is None:
            raise Refusal(errors.SESSION_UNKNOWN, context={"sid": sid})
        if session.protocol != self._protocol_of(request):
            raise Refusal(errors.BAD_REQUEST, context={"name": "PROTOCOL_MISMATCH"})
        if request.upgrade:
            # A WebSocket that asks for polling gets what the reference gives: accepted, closed at once.
            self._probe(request, session, refused=transport != "websocket")
            return
        polling = session.polling
        if transport != "polling" or polling is None:
            context = {"name": "TRANSPORT_MISMATCH", "transport": transport, "previous": session.transport}
            raise Refusal(errors.BAD_REQUEST, context=context)
        polling.on_request(request)

    def _probe(self, request: Request, session: Session, refused: bool) -> None:
        probe = Probe(session)
        websocket = self._accept(request, probe)
        if websocket is None:
            return
        if refused or not self.options.allow_upgrades or not session.begin_probe(probe):
            websocket.close()
        else:
            probe.start(websocket)

    def _accept(self, request: Request, receiver: Any) -> WebSocket | None:
        headers = self._cors.headers(request)
        self._add_headers(request, headers, not request.query.get("sid"))
        return request.exchange.accept_websocket(
            receiver,
            headers=headers,
            max_message_size=self.options.max_http_buffer_size,
            max_buffered_bytes=self.options.max_buffered_bytes,
            per_message_deflate=self._deflate,
        )

    # -- handshake ------------------------------------------------------------------------------------

    def _protocol_of(self, request: Request) -> int:
        # The reference reads anything but "4" as protocol 3.
        return 4 if request.query.get("EIO") == "4" else 3

    async def _ask_and_handshake(self, request: Request, transport: str) -> None:
        if self.options.allow_request is not None:
            try:
                allowed = self.options.allow_request(request)
                if inspect.isawaitable(allowed):
                    allowed = await allowed
            except Exception as error:
                raise Refusal(errors.FORBIDDEN, str(error), {"message": str(error)}) from error
            if allowed is False:
                raise Refusal(errors.FORBIDDEN)
            if isinstance(allowed, str):
                raise Refusal(errors.FORBIDDEN, allowed, {"message": allowed})
        sid = generate_id()
        if self.options.generate_id is not None:
            try:
                sid = self.options.generate_id(request)
                if inspect.isawaitable(sid):
                    sid = await sid
                if not isinstance(sid, str) or not sid or sid in self.sessions:
                    raise ValueError(f"generate_id gave {sid!r}, not the id of a new session")
            except Exception as error:
                logger.exception("option generate_id failed")
                raise Refusal(errors.BAD_REQUEST, context={"name": "ID_GENERATION_ERROR"}) from error
        self._handshake(request, transport, sid)

    def _on_hook_error(self, request: Request, error: BaseException) -> None:
        if isinstance(error, Refusal):
            self.refuse(request, error)
        else:
            logger.error("%r: handshake failed", request, exc_info=error)
            request.exchange.abort()

    def _handshake(self, request: Request, transport: str, sid: str) -> None:
        protocol = self._protocol_of(request)
        if protocol not in self.options.protocols:
            logger.warning(
                "EIO=%s refused: Engine.IO protocol %d is not served (option protocols)",
                request.query.get("EIO"),
                protocol,
            )
            raise Refusal(errors.UNSUPPORTED_PROTOCOL, context={"protocol": protocol})
        limit = self.options.max_connections
        if limit is not None and len(self.sessions) >= limit:
            logger.warning("connection refused: %d are open (option max_connections)", limit)
            raise Refusal(errors.FORBIDDEN, "Too many connections", {"name": "MAX_CONNECTIONS"})
        session = Session(self, sid, protocol, request)
        if transport == "websocket":
            websocket = self._accept(request, session)
            if websocket is None:
                return
            self.sessions[sid] = session
            session.open_websocket(websocket)
            self._fire("connection", (session,), None, False, False)
            return
        if request.upgrade:
            websocket = self._accept(request, session)
            if websocket is not None:
                session.ready_state = "closed"
                websocket.close()
            return
        self.sessions[sid] = session
        headers: Headers = []
        if self._cookie is not None:
            headers.append(("Set-Cookie", self._cookie.render(sid)))
        # Answered at the end of this loop turn: what the connection handler sends goes along.
        session.open_polling(PollingTransport(session, request, headers))
        self._fire("connection", (session,), None, False, False)

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
        self.timers.cancel(session)
        if self.sessions.get(session.id) is session:
            del self.sessions[session.id]

    def close_sessions(self, sessions: Iterable[Session] | None = None) -> None:
        """Close the given sessions, or all."""
        for session in list(self.sessions.values() if sessions is None else sessions):
            session.close()
