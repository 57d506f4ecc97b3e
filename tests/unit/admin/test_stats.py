"""Counting connections, packets and bytes, second by second."""

from __future__ import annotations

from typing import Any

import pytest

from fastsio.admin import stats
from fastsio.admin.stats import Traffic
from tests.unit.engine.fakes import Engine


class Seconds:
    """In place of the module ``time``."""

    now = 1_700_000_000.9

    def time(self) -> float:
        return self.now


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Seconds:
    clock = Seconds()
    monkeypatch.setattr(stats, "time", clock)
    return clock


def counted(traffic: Traffic) -> dict[Any, int]:
    return {
        (entry["timestamp"] - 1_700_000_000_000, entry["type"], entry.get("subType")): entry["count"]
        for entry in traffic.take()
    }


def test_counts(seconds: Seconds) -> None:
    engine = Engine()
    traffic = Traffic(engine.core)
    traffic.start()
    client = engine.connect()
    assert counted(traffic) == {(0, "rawConnection", None): 1}
    client.receive("4é")
    client.receive(b"abc")
    engine.session.send("four")
    seconds.now += 1
    engine.session.send(b"12345")
    engine.session.send("\ud800")
    engine.connect()
    client.hang_up()
    assert counted(traffic) == {
        (0, "packetsIn", None): 2,
        (0, "bytesIn", None): 2 + 3,
        (0, "packetsOut", None): 1,
        (0, "bytesOut", None): 4,
        (1000, "packetsOut", None): 2,
        (1000, "bytesOut", None): 5 + 3,
        (1000, "rawConnection", None): 1,
        (1000, "rawDisconnection", "transport close"): 1,
    }
    assert traffic.take() == []


def test_packets_without_data_do_not_count(seconds: Seconds) -> None:
    engine = Engine()
    traffic = Traffic(engine.core)
    traffic.start()
    client = engine.open()
    counted(traffic)
    client.post(b"4")
    engine.clock.advance(25)
    client.poll()
    client.post(b"3")
    assert traffic.take() == []


def test_off_it_does_nothing(seconds: Seconds) -> None:
    """Not even listen, which would cost each packet something."""
    engine = Engine()
    traffic = Traffic(engine.core)
    client = engine.connect()
    session = engine.session
    assert not session.has_listeners("packet") and not session.has_listeners("packet_create")
    listening = session.listener_count("close")
    client.receive("4x")
    assert traffic.take() == []

    traffic.start()
    traffic.start()
    client.receive("4x")
    assert counted(traffic) == {(0, "packetsIn", None): 1, (0, "bytesIn", None): 1}

    client.receive("4x")
    traffic.stop()
    traffic.stop()
    client.receive("4x")
    engine.connect()
    client.hang_up()
    assert traffic.take() == []
    assert not session.has_listeners("packet") and not session.has_listeners("packet_create")
    assert session.listener_count("close") <= listening
