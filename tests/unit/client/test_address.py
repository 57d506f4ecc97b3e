"""URLs and options of the clients."""

from __future__ import annotations

from typing import Any

import pytest

from fastsio import Client, OptionError
from fastsio.client.address import Address
from fastsio.client.cookies import CookieJar
from fastsio.client.options import ClientOptions


def address(url: str, **options: Any) -> Address:
    return Address(url, ClientOptions(**options))


@pytest.mark.parametrize(
    ("url", "host", "port", "secure", "namespace"),
    [
        ("http://a.test", "a.test", 80, False, "/"),
        ("https://a.test/", "a.test", 443, True, "/"),
        ("ws://a.test:8080/chat", "a.test", 8080, False, "/chat"),
        ("wss://[::1]:8443/x/y?z=1", "::1", 8443, True, "/x/y"),
        ("localhost:3000", "localhost", 3000, False, "/"),
    ],
)
def test_urls(url: str, host: str, port: int, secure: bool, namespace: str) -> None:
    found = address(url)
    assert (found.host, found.port, found.secure, found.namespace) == (host, port, secure, namespace)


@pytest.mark.parametrize("url", ["ftp://a.test", "http://", "http://a:99999", "http://a:b", ""])
def test_urls_that_lead_nowhere(url: str) -> None:
    with pytest.raises(OptionError):
        address(url)


def test_resource() -> None:
    assert address("h").resource("polling", None) == "/socket.io/?EIO=4&transport=polling"
    assert address("h", protocol=3, path="/x y/").resource("websocket", "a&b") == (
        "/x%20y/?EIO=3&transport=websocket&sid=a%26b"
    )
    assert address("h", add_trailing_slash=False).resource("polling", None).startswith("/socket.io?EIO")


def test_the_urls_query_replaces_the_option() -> None:
    assert address("h", query={"a": "1 2"}).resource("polling", None).startswith("/socket.io/?a=1+2&EIO=4")
    assert address("h", query="?b=2").resource("polling", None).startswith("/socket.io/?b=2&EIO=4")
    assert address("h?c=3", query={"a": 1}).resource("polling", None).startswith("/socket.io/?c=3&EIO=4")


def test_messages_name_no_query() -> None:
    assert address("http://user:pass@h:1/n?token=secret").url == "http://h:1"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reconection": False}, "did you mean 'reconnection'"),
        ({"timeout": 0}, "timeout takes a number of seconds above 0"),
        ({"reconnection_delay": True}, "reconnection_delay"),
        ({"reconnection_attempts": -1}, "reconnection_attempts"),
        ({"randomization_factor": 1.5}, "from 0 to 1"),
        ({"transports": "websocket"}, "sequence of 'polling' and 'websocket'"),
        ({"transports": []}, "transports"),
        ({"protocol": 5}, "protocol takes 3 or 4"),
        ({"path": "x"}, "path"),
        ({"auth": "token"}, "auth takes a mapping or a function"),
        ({"query": {"sid": "1"}}, "may not set sid"),
        ({"retries": 0.5}, "retries"),
        ({"parser": object()}, "parser"),
        ({"extra_headers": {"A": "b\r\nC: d"}}, "line break"),
        ({"proxy": "http://p", "unix_socket": "/s"}, "exclude"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        Client("http://localhost", **options)


def test_cookies() -> None:
    jar = CookieJar()
    assert jar.header() == ""
    jar.add("io=abc; Path=/; HttpOnly")
    jar.add("lb=1")
    jar.add("nonsense")
    assert jar.header() == "Cookie: io=abc; lb=1\r\n"
    jar.add("lb=; Max-Age=0")
    assert jar.header() == "Cookie: io=abc\r\n"
    for number in range(100):
        jar.add(f"c{number}=x")
    assert jar.header().count("=") == 50
