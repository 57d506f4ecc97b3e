"""The long-polling transport: at most one GET and one POST in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from fastsio._payload import EnginePacketType, decode_payload, encode_payload
from fastsio.client.address import Address
from fastsio.client.base import Message, Owner, transport_error
from fastsio.client.http import HttpClient, Response, describe
from fastsio.exceptions import PacketError

__all__ = ["Polling"]

OPEN, CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP = map(int, EnginePacketType)

# Seconds the POST with the close packet may take.
_CLOSE_TIMEOUT = 2.0


class Polling:
    """Engine.IO packets in the bodies of requests and responses.

    :param headers: gives further header lines for a request (cookies).
    :param on_response: sees every response (cookies).
    """

    name = "polling"

    def __init__(
        self,
        owner: Owner,
        address: Address,
        headers: Callable[[], str],
        on_response: Callable[[Response], None],
    ) -> None:
        self._owner = owner
        self._address = address
        self._headers = headers
        self._on_response = on_response
        self._protocol = address.options.protocol
        self._in_binary = self._protocol == 3 and not address.options.force_base64
        self._loop = asyncio.get_running_loop()
        self._http = HttpClient(address, address.options.max_message_size)
        self._resource = address.resource("polling", None)
        self._is_open = False
        self._getting = False
        self._posting = False
        self._closing = False
        self._said_goodbye = False
        self._over = False
        self._when_paused: Callable[[], None] | None = None
        self._closer: asyncio.TimerHandle | None = None
        self._get_timer: asyncio.TimerHandle | None = None
        self._post_timer: asyncio.TimerHandle | None = None
        self.lost: asyncio.Future[None] = self._loop.create_future()

    @property
    def writable(self) -> bool:
        """Whether a packet would leave at once."""
        return self._is_open and not self._posting and not self._closing

    def open(self) -> None:
        """Begin to connect."""
        self._poll()

    def set_sid(self, sid: str) -> None:
        """The session has begun: requests name it from now on."""
        self._is_open = True
        self._resource = self._address.resource("polling", sid)

    # -- receiving --------------------------------------------------------------------------------------

    def _poll(self) -> None:
        self._getting = True
        self._get_timer = self._limit("GET")
        resource = self._resource + self._address.stamped
        self._http.request("GET", resource, self._headers(), None, self._polled, self._poll_failed)

    def _limit(self, method: str) -> asyncio.TimerHandle | None:
        """Bound the time of a request that begins."""
        seconds = self._address.options.request_timeout
        if seconds is None:
            return None
        return self._loop.call_later(seconds, self._expired, method, seconds)

    def _expired(self, method: str, seconds: float) -> None:
        self._fail(method, TimeoutError(f"not answered within {seconds:g} s (option request_timeout)"))

    def _poll_failed(self, error: Exception) -> None:
        self._get_ended()
        self._fail("GET", error)

    def _get_ended(self) -> None:
        self._getting = False
        if self._get_timer is not None:
            self._get_timer.cancel()

    def _polled(self, response: Response) -> None:
        self._get_ended()
        if self._over:
            return
        self._on_response(response)
        if response.status != 200:
            self._fail("GET", None, response)
            return
        binary = (
            self._protocol == 3 and response.headers.get("content-type", "") == "application/octet-stream"
        )
        error: Exception | None = None
        try:
            packets = decode_payload(bytes(response.body), self._protocol, binary)
        except PacketError as failure:
            packets, error = failure.packets, failure
        for type, data in packets:
            if self._over or (self._closing and type != CLOSE):
                return
            if type == CLOSE:
                self._end(None)
                return
            self._owner.transport_packet(type, data)
        if error is not None:
            if not self._over:
                text = f"cannot decode a response: {error}"
                self._end(transport_error(text, error, self.name, self._address.url))
        elif self._when_paused is not None:
            self._check_paused()
        elif not self._over and not self._closing:
            self._poll()

    # -- sending ----------------------------------------------------------------------------------------

    def send(self, messages: Sequence[Message]) -> None:
        """POST packets; allowed while ``writable``."""
        self._post(messages)

    def _post(self, messages: Sequence[Message]) -> None:
        self._posting = True
        # Protocol 4 carries binary as base64, protocol 3 in a framing of its own.
        binary = self._in_binary and any(isinstance(data, bytes) for _, data in messages)
        body = encode_payload(messages, self._protocol, binary)
        kind = "application/octet-stream" if binary else "text/plain;charset=UTF-8"
        headers = f"{self._headers()}Content-Type: {kind}\r\n"
        self._post_timer = self._limit("POST")
        resource = self._resource + self._address.stamped
        self._http.request("POST", resource, headers, body, self._posted, self._post_failed)

    def _post_failed(self, error: Exception) -> None:
        self._post_ended()
        self._fail("POST", error)

    def _post_ended(self) -> None:
        self._posting = False
        if self._post_timer is not None:
            self._post_timer.cancel()

    def _posted(self, response: Response) -> None:
        self._post_ended()
        if self._over:
            return
        self._on_response(response)
        if response.status != 200:
            self._fail("POST", None, response)
        elif self._closing:
            self._say_goodbye()
        else:
            if self._when_paused is not None:
                self._check_paused()
            self._owner.transport_drained()

    # -- handing over to WebSocket ----------------------------------------------------------------------

    def pause(self, done: Callable[[], None]) -> None:
        """Send no further request; ``done()`` once none is in flight."""
        self._when_paused = done
        self._check_paused()

    def resume(self) -> None:
        """Poll again: the upgrade came to nothing."""
        self._when_paused = None
        if not self._getting and not self._over:
            self._poll()

    def _check_paused(self) -> None:
        done = self._when_paused
        if done is not None and not self._getting and not self._posting:
            self._when_paused = None
            done()

    # -- closing ----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Tell the server, then drop the connections."""
        if self._closing or self._over:
            return
        if not self._is_open:
            self.abort()
            return
        self._closing = True
        self._closer = self._loop.call_later(_CLOSE_TIMEOUT, self.abort)
        if not self._posting:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        if not self._said_goodbye:
            self._said_goodbye = True
            self._post([(CLOSE, None)])
        else:
            self.abort()

    def abort(self) -> None:
        """Drop the connections; the owner is not told."""
        self._over = True
        for timer in (self._closer, self._get_timer, self._post_timer):
            if timer is not None:
                timer.cancel()
        self._http.close()
        if not self.lost.done():
            self.lost.set_result(None)

    def _fail(self, method: str, cause: Exception | None, response: Response | None = None) -> None:
        text = describe(response) if response is not None else str(cause)
        error = transport_error(f"{method}: {text}", cause, self.name, self._address.url)
        if response is not None:
            error.status = response.status
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        if self._over:
            return
        told = self._closing
        self.abort()
        if not told:
            self._owner.transport_closed(error)
