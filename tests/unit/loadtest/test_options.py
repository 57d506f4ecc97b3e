from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fastsio.exceptions import OptionError
from fastsio.loadtest import SCENARIOS, LoadOptions, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 10),
        ("0.5s", 0.5),
        ("250ms", 0.25),
        ("80us", 80e-6),
        ("80µs", 80e-6),
        ("2m", 120),
        (" 1 h ", 3600),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1", "1d", "1e3", "nan", "1 2", "1.2.3"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(OptionError, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("localhost:3000", ("localhost", 3000, False, "/socket.io/", "", "localhost:3000")),
        ("http://a.example", ("a.example", 80, False, "/socket.io/", "", "a.example")),
        ("https://a.example/", ("a.example", 443, True, "/socket.io/", "", "a.example")),
        ("ws://a.example:80/io/?x=1", ("a.example", 80, False, "/io/", "x=1", "a.example")),
        ("wss://[::1]:9/e", ("::1", 9, True, "/e", "", "[::1]:9")),
    ],
)
def test_urls(url: str, parts: tuple[Any, ...]) -> None:
    options = LoadOptions(url)
    assert (
        options.host,
        options.port,
        options.secure,
        options.path,
        options.query,
        options.authority,
    ) == parts


@pytest.mark.parametrize(
    "url", ["ftp://a", "http://", "http://a:x", "http://a:70000", "http://a b", "http://a/\r\n"]
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(OptionError):
        LoadOptions(url)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"scenario": "ecko"}, "no scenario 'ecko': one of echo"),
        ({"scenario": "missing.py"}, "missing.py does not exist"),
        ({"clients": 0}, "clients must be between 1"),
        ({"clients": 2, "processes": 3}, "more processes than clients"),
        ({"duration": 0.0}, "duration must be between"),
        ({"duration": float("nan")}, "duration must be between"),
        ({"size": 7}, "size must be between 8"),
        ({"binary": 1.1}, "binary must be between 0 and 1"),
        ({"depth": 0}, "depth must be between 1"),
        ({"rate": 0.0}, "rate must be between"),
        ({"rate": 5.0, "scenario": "idle"}, "takes no rate"),
        ({"protocol": 5}, "protocol must be 3 or 4"),
        ({"transport": "webtransport"}, "transport must be"),
        ({"namespace": "chat"}, "starts with /"),
        ({"namespace": "/a,b"}, "no comma"),
        ({"auth": {"a": 1}, "protocol": 3}, "no auth"),
        ({"headers": (("a b", "c"),)}, "cannot be a header"),
        ({"headers": (("a", "c\r\nd: e"),)}, "cannot be a header"),
        ({"rooms": 11, "clients": 10, "scenario": "rooms"}, "rooms must be between 1 and 10"),
        ({"max_errors": -1}, "max_errors must be between"),
        ({"server_pids": (0,)}, "process id"),
    ],
)
def test_values_that_cannot_be(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        LoadOptions("http://a", **values)
    assert sentence in str(caught.value)


def test_every_scenario_is_an_option() -> None:
    for scenario in SCENARIOS:
        assert LoadOptions("http://a", scenario).scenario == scenario


def test_a_scenario_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("")
    assert LoadOptions("http://a", str(file)).scenario == str(file)


def test_json_round_trip() -> None:
    options = LoadOptions("http://a", clients=3, headers=(("A", "b"),), server_pids=(1, 2), auth={"x": [1]})
    assert LoadOptions.from_json(json.loads(json.dumps(options.to_json()))) == options
