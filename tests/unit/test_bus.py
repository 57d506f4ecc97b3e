"""What servers of a cluster say to each other: values, and the parts of messages."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

import pytest

from fastsio.adapters.base import PLAIN, BroadcastFlags, BroadcastOptions
from fastsio.adapters.bus import (
    BusError,
    from_json,
    pack,
    read_args,
    read_event,
    read_list,
    read_names,
    read_options,
    read_text,
    to_json,
    unpack,
    write_event,
    write_options,
)
from fastsio.exceptions import PacketError

NOBODY: frozenset[str] = frozenset()


class TestValues:
    def test_json_is_what_clients_get(self) -> None:
        assert to_json({"ü": [1, None, 2.5]}) == '{"ü":[1,null,2.5]}'.encode()
        assert from_json(b'{"a":[1]}') == {"a": [1]}

    @pytest.mark.parametrize("value", [b"\x01", [bytearray(b"\x01")], {"deep": {"er": memoryview(b"\x01")}}])
    def test_bytes_are_nothing_for_json(self, value: Any) -> None:
        assert to_json(value) is None

    @pytest.mark.parametrize("value", [object(), [lambda: None], {"x": 1j}])
    def test_values_that_cannot_be_sent(self, value: Any) -> None:
        for write in (to_json, pack):
            with pytest.raises(PacketError):
                write(value)

    def test_depth_ends(self) -> None:
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises(PacketError):
            pack(deep)

    def test_msgpack_there_and_back(self) -> None:
        value = {"a": [1, -1, 2.5, None, True, "ü", b"\x00\xff"], "b": {"c": []}}
        assert unpack(pack(value)) == value
        assert unpack(pack([bytearray(b"\x01"), memoryview(b"\x02")])) == [b"\x01", b"\x02"]
        assert sorted(unpack(pack({1, 2}))) == [1, 2]

    def test_dates_are_text_as_json_has_them(self) -> None:
        moment = datetime(2026, 1, 2, 3, 4, 5, 678_900, timezone(timedelta(hours=2)))
        assert unpack(pack(moment)) == "2026-01-02T01:04:05.678Z"
        assert unpack(pack(moment.replace(tzinfo=None))) == "2026-01-02T03:04:05.678Z"
        assert unpack(pack([date(2026, 1, 2), time(3, 4)])) == ["2026-01-02", "03:04:00"]

    @pytest.mark.parametrize(
        ("head", "content", "moment"),
        [
            (b"\xd6\xff", b"\x00\x00\x00\x05", datetime(1970, 1, 1, 0, 0, 5)),
            (b"\xd7\xff", ((2000 << 34) | 7).to_bytes(8, "big"), datetime(1970, 1, 1, 0, 0, 7, 2)),
            (
                b"\xc7\x0c\xff",
                b"\x00\x00\x03\xe8" + (-1).to_bytes(8, "big", signed=True),
                datetime(1969, 12, 31, 23, 59, 59, 1),
            ),
        ],
    )
    def test_timestamps(self, head: bytes, content: bytes, moment: datetime) -> None:
        assert unpack(head + content) == moment.replace(tzinfo=timezone.utc)

    @pytest.mark.parametrize(
        "data",
        [
            b"", b"\xc1", b"\x92\x01", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff\xa1a",
            b"\x91" * 5000, b"\xa1\xff", b"\xd4\x05\x00", b"\xd4\xff\x00",
            b"\xc7\x0c\xff\x00\x00\x00\x00\x7f" + b"\xff" * 7,
        ],
    )  # fmt: skip
    def test_what_is_no_msgpack(self, data: bytes) -> None:
        with pytest.raises(BusError):
            unpack(data)

    @pytest.mark.parametrize("data", [b"", b"{", b"nan", b"[1]x", b"\xff", b"[" * 5000 + b"]" * 5000])
    def test_what_is_no_json(self, data: bytes) -> None:
        with pytest.raises(BusError):
            from_json(data)


class TestParts:
    def test_events(self) -> None:
        args = ("event", 1, [None])
        assert read_event({"packet": write_event(args)}) == args
        assert read_args({"packet": list(args)}, "packet") == args

    @pytest.mark.parametrize(
        "packet", [None, [], {}, {"type": 3, "data": ["x"]}, {"type": 2}, {"type": 2, "data": {}},
                   {"type": 2, "data": []}, {"type": 2, "data": [1]}]
    )  # fmt: skip
    def test_no_events(self, packet: Any) -> None:
        with pytest.raises(BusError):
            read_event({"packet": packet})

    def test_texts_lists_and_names(self) -> None:
        data = {"text": "ü", "list": [1], "names": ["a", "b"]}
        assert read_text(data, "text") == "ü"
        assert read_list(data, "list") == [1]
        assert read_names(data, "names") == ["a", "b"]
        for read, key in (
            (read_text, "list"),
            (read_list, "text"),
            (read_names, "list"),
            (read_names, "none"),
        ):
            with pytest.raises(BusError, match=key):
                read(data, key)

    @pytest.mark.parametrize(
        ("flags", "written"),
        [
            (PLAIN, {}),
            (BroadcastFlags(volatile=True), {"volatile": True}),
            (BroadcastFlags(compress=False), {"compress": False}),
            (BroadcastFlags(timeout=1.5), {"timeout": 1500}),
            (BroadcastFlags(binary=False), {"binary": False}),
        ],
    )
    def test_options(self, flags: BroadcastFlags, written: dict[str, Any]) -> None:
        options = BroadcastOptions(frozenset(("r",)), frozenset(("x",)), flags)
        assert write_options(options) == {"rooms": ["r"], "except": ["x"], "flags": written}
        assert read_options({"opts": write_options(options)}) == options

    def test_options_that_node_leaves_out(self) -> None:
        assert read_options({"opts": {"rooms": []}}) == BroadcastOptions(NOBODY, NOBODY, PLAIN)
        read = read_options({"opts": {"rooms": [], "flags": {"local": True, "timeout": None}}})
        assert read.flags.timeout is None and not read.flags.local

    @pytest.mark.parametrize(
        "options",
        [
            None, [], {}, {"rooms": "r"}, {"rooms": [1]}, {"rooms": [], "except": None},
            {"rooms": [], "flags": []},
            *({"rooms": [], "flags": {"timeout": timeout}} for timeout in (True, "1", -1, 1e10, math.nan)),
        ],
    )  # fmt: skip
    def test_options_that_cannot_be(self, options: Any) -> None:
        with pytest.raises(BusError):
            read_options({"opts": options})
