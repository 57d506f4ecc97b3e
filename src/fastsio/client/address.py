"""Where a client connects to, and how a connection there is opened."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from urllib.parse import quote, urlencode, urlsplit

from fastsio.client.options import ClientOptions
from fastsio.exceptions import OptionError

__all__ = ["Address"]

# Written by the client itself; an application's query must not change them.
_RESERVED = {"EIO", "transport", "sid", "j", "b64"}


class Address:
    """A URL taken apart, with the options that say how to get there.

    The URL's path is the namespace; the HTTP path is the option ``path``. A URL without a scheme is http.

    :raises OptionError: if it is no URL that leads to a server.
    """

    def __init__(self, url: str, options: ClientOptions) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https", "ws", "wss"):
            raise OptionError(f"{url!r}: the scheme must be http, https, ws or wss")
        try:
            port = parts.port
        except ValueError as error:
            raise OptionError(f"{url!r}: {error}") from None
        if not parts.hostname:
            raise OptionError(f"{url!r} names no host")
        self.secure = parts.scheme in ("https", "wss")
        self.host = parts.hostname
        self.port = port or (443 if self.secure else 80)
        host = f"[{self.host}]" if ":" in self.host else self.host
        self.authority = host if port is None else f"{host}:{port}"
        self.namespace = parts.path or "/"
        self.options = options
        #: For messages: no query, which may hold secrets.
        self.url = f"{'https' if self.secure else 'http'}://{self.authority}"
        #: The namespace's own query, which protocol 3 sends along.
        self.query = parts.query
        if parts.query:
            self._query = parts.query
        elif isinstance(options.query, str):
            self._query = options.query.removeprefix("?")
        else:
            pairs = options.query or {}
            reserved = _RESERVED & pairs.keys()
            if reserved:
                raise OptionError(f"option query may not set {', '.join(sorted(reserved))}")
            self._query = urlencode({key: str(value) for key, value in pairs.items()}, doseq=False)
        path = options.path.rstrip("/")
        self._path = quote(path + ("/" if options.add_trailing_slash else ""), safe="/%:@!$&'()*+,;=~-._")
        self._ssl: ssl.SSLContext | None = None
        if self.secure:
            self._ssl = _context(options.ssl)
        headers = {"Host": self.authority, **options.extra_headers}
        for name, value in headers.items():
            if any(mark in f"{name}{value}" for mark in "\r\n\0"):
                raise OptionError(f"extra_headers: {name!r} holds a line break")
        #: Of every request: header lines, each with its line break.
        self.headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())

        self._others = {
            name: Address(url, options.of_transport(name))
            for name in ("polling", "websocket")
            if name in options.transport_options
        }

    def of_transport(self, name: str) -> Address:
        """The same for one transport, which may have options of its own."""
        return self._others.get(name, self)

    @property
    def stamped(self) -> str:
        """What is added to the resource of a polling request: caches must not answer it."""
        if self.options.timestamp_requests is False:
            return ""
        return f"&{self.options.timestamp_param}={time.time_ns():x}"

    def resource(self, transport: str, sid: str | None) -> str:
        """Path and query of a request."""
        query = f"EIO={self.options.protocol}&transport={transport}"
        if self.options.force_base64:
            query += "&b64=1"
        if sid is not None:
            query += f"&sid={quote(sid, safe='')}"
        return f"{self._path}?{self._query}&{query}" if self._query else f"{self._path}?{query}"

    async def dial(self, protocol: asyncio.Protocol) -> None:
        """Open one connection for ``protocol``: TCP, TLS, a Unix socket, through a proxy, as configured.

        Raises OSError, ssl.SSLError, or whatever the proxy's library says.
        """
        loop = asyncio.get_running_loop()
        options = self.options
        if options.unix_socket is not None:
            await loop.create_unix_connection(
                lambda: protocol,
                options.unix_socket,
                ssl=self._ssl,
                server_hostname=self.host if self._ssl else None,
            )
        elif options.proxy is not None:
            sock = await _through_proxy(options.proxy, self.host, self.port)
            try:
                await loop.create_connection(
                    lambda: protocol,
                    sock=sock,
                    ssl=self._ssl,
                    server_hostname=self.host if self._ssl else None,
                )
            except BaseException:
                sock.close()
                raise
        else:
            local = None if options.local_address is None else (options.local_address, 0)
            await loop.create_connection(
                lambda: protocol, self.host, self.port, ssl=self._ssl, local_addr=local
            )


def _context(given: ssl.SSLContext | bool | None) -> ssl.SSLContext:
    if isinstance(given, ssl.SSLContext):
        return given
    context = ssl.create_default_context()
    if given is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _through_proxy(proxy: str, host: str, port: int) -> socket.socket:
    try:
        from python_socks.async_.asyncio import Proxy  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise OptionError("option proxy needs python-socks: pip install 'python-socks[asyncio]'") from None
    connected: socket.socket = await Proxy.from_url(proxy).connect(dest_host=host, dest_port=port)
    return connected
