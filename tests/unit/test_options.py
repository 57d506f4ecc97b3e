from __future__ import annotations

import math
import re
from typing import Any

import pytest

from fastsio.engine import EngineServer
from fastsio.engine.server import EngineCore
from fastsio.exceptions import FastSIOError, OptionError
from fastsio.options import EngineOptions, ListenerOptions, ServerOptions, split_options
from fastsio.types import DisconnectReason


def test_defaults_are_the_reference_s() -> None:
    options = EngineOptions()
    assert options.path == "/engine.io"
    assert tuple(options.transports) == ("polling", "websocket")
    assert options.allow_upgrades is True
    assert tuple(options.protocols) == (3, 4)
    assert (options.ping_interval, options.ping_timeout) == (25.0, 20.0)
    assert (options.upgrade_timeout, options.close_timeout) == (10.0, 30.0)
    assert options.max_http_buffer_size == 1_000_000
    assert options.per_message_deflate is False
    assert options.cors is None and options.cookie is None


@pytest.mark.parametrize("name", ["ping_interval", "ping_timeout", "upgrade_timeout", "close_timeout"])
@pytest.mark.parametrize("value", [0, -1, math.inf, -math.inf, math.nan, "25", None, True, [1]])
def test_seconds(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"option {name} takes a number of seconds above 0, not"):
        EngineOptions(**{name: value})


@pytest.mark.parametrize(
    "name", ["max_http_buffer_size", "max_packets_per_payload", "max_buffered_bytes", "max_connections"]
)
@pytest.mark.parametrize("value", [0, -1, 1.5, math.inf, math.nan, "10", True])
def test_sizes(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"option {name} takes a whole number, 1 or more, not"):
        EngineOptions(**{name: value})


def test_sizes_written_as_floats() -> None:
    options = EngineOptions(max_http_buffer_size=1e6)  # type: ignore[arg-type]
    assert options.max_http_buffer_size == 1_000_000
    assert type(options.max_http_buffer_size) is int
    assert EngineOptions(max_connections=1).max_connections == 1


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("transports", ["polling", (), ["polling", "webtransport"], None, [["polling"]], 5]),
        ("protocols", [4, (), [2], ["4"], None]),
        ("path", ["engine.io", "", None, 5]),
        ("allow_request", [True, "f"]),
        ("generate_id", ["id"]),
        ("initial_packet", [5, ["x"]]),
        ("per_message_deflate", [None, 1024, "on"]),
        ("http_compression", [None, 1024]),
        ("trusted_proxies", ["10.0.0.1", None]),
    ],
)
def test_wrong_values_are_named(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(OptionError, match=f"^option {name} takes .*, not {re.escape(repr(value))}$"):
            EngineOptions(**{name: value})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cors": {"orign": "*"}}, "option cors has no key 'orign'"),
        ({"cors": 5}, "option cors cannot take an origin of type int"),
        ({"cors": ["*", 5]}, "option cors cannot take an origin of type list"),
        ({"cookie": {"nam": "x"}}, "option cookie has no key 'nam'"),
        ({"cookie": "a b"}, "no name for a cookie"),
        ({"cookie": ""}, "no name for a cookie"),
        ({"cookie": {"path": "/; Secure"}}, "cannot have the attribute"),
        ({"cookie": {"domain": "x\r\nEvil: 1"}}, "cannot have the attribute"),
        ({"cookie": {"same_site": "sometimes"}}, "strict, lax or none"),
        ({"cookie": {"expires": "tomorrow"}}, "takes a datetime for expires"),
        ({"http_compression": {"treshold": 1}}, "option http_compression has no key 'treshold'"),
        ({"trusted_proxies": ["not an address"]}, "option trusted_proxies: 'not an address'"),
    ],
)
def test_values_that_the_engine_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        EngineCore(EngineOptions(**options))


def test_server_options() -> None:
    assert ServerOptions().connect_timeout == 45.0
    assert ServerOptions(max_attachments=0).max_attachments == 0
    with pytest.raises(OptionError, match="option connect_timeout"):
        ServerOptions(connect_timeout=0)
    with pytest.raises(OptionError, match="option max_attachments takes a whole number, 0 or more"):
        ServerOptions(max_attachments=-1)


def test_split_options() -> None:
    engine, listener, server = split_options(
        {"ping_interval": 5, "connect_timeout": 3}, EngineOptions, ListenerOptions, ServerOptions
    )
    assert engine.ping_interval == 5
    assert server.connect_timeout == 3
    assert listener == ListenerOptions()


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("ping_intervall", "ping_interval"), ("pingTimeout", "ping_timeout"), ("corse", "cors")],
)
def test_a_misspelt_option_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(OptionError, match=f"unknown option '{name}'; did you mean '{nearest}'\\?"):
        split_options({name: 1}, EngineOptions, ServerOptions)
    with pytest.raises(TypeError):
        EngineServer(**{name: 1})


def test_an_option_like_no_other() -> None:
    with pytest.raises(OptionError, match=r"^unknown option 'zzzzzz'$") as caught:
        EngineServer(zzzzzz=1)
    assert isinstance(caught.value, FastSIOError)


def test_disconnect_reasons_are_the_strings_of_node() -> None:
    reason = DisconnectReason.PING_TIMEOUT
    assert reason == "ping timeout"
    assert str(reason) == f"{reason}" == "ping timeout"
    assert f"{reason:>14}" == "  ping timeout"
    assert DisconnectReason("transport close") is DisconnectReason.TRANSPORT_CLOSE
