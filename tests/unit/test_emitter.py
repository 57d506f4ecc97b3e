from __future__ import annotations

import asyncio
import functools
import gc
import logging
import weakref
from enum import Enum
from typing import Any

import pytest

from fastsio._emitter import EventEmitter, answer, positional_limit
from fastsio.engine import tasks

# Importing it is what lets async listeners run.
assert tasks

UNLIMITED = 1000


class Names(str, Enum):
    GREETING = "greeting"


class Recorder:
    """A listener that writes its calls down."""

    def __init__(self, log: list[Any], name: str) -> None:
        self.log = log
        self.name = name

    def __call__(self, *args: Any) -> None:
        self.log.append((self.name, *args))


@pytest.fixture
def emitter() -> EventEmitter:
    return EventEmitter()


# -- registration


def test_listeners_are_called_in_order(emitter: EventEmitter) -> None:
    log: list[Any] = []
    a, b, c = (Recorder(log, name) for name in "abc")
    assert emitter.on("x", a) is emitter
    assert emitter.add_listener("x", b) is emitter
    assert emitter.prepend_listener("x", c) is emitter
    assert emitter.emit("x", 1, 2) is True
    assert log == [("c", 1, 2), ("a", 1, 2), ("b", 1, 2)]
    assert emitter.emit("y") is False


def test_decorators_return_the_function(emitter: EventEmitter) -> None:
    log: list[Any] = []

    @emitter.on("x")
    @emitter.once("x")
    def listener(value: int) -> None:
        log.append(value)

    assert callable(listener)
    emitter.emit("x", 1)
    emitter.emit("x", 2)
    assert log == [1, 1, 2]


def test_the_same_function_twice(emitter: EventEmitter) -> None:
    log: list[Any] = []
    a = Recorder(log, "a")
    emitter.on("x", a).on("x", a)
    emitter.emit("x")
    assert len(log) == 2
    emitter.off("x", a)
    emitter.emit("x")
    assert len(log) == 3


def test_once(emitter: EventEmitter) -> None:
    log: list[Any] = []
    emitter.once("x", Recorder(log, "a"))
    emitter.prepend_once_listener("x", Recorder(log, "b"))
    emitter.emit("x")
    emitter.emit("x")
    assert log == [("b",), ("a",)]
    assert emitter.listener_count("x") == 0


def test_once_is_once_even_if_the_event_fires_again_inside(emitter: EventEmitter) -> None:
    log: list[Any] = []

    def again() -> None:
        if len(log) < 3:
            log.append("again")
            emitter.emit("x")

    emitter.on("x", again)
    emitter.once("x", Recorder(log, "once"))
    emitter.emit("x")
    assert log.count(("once",)) == 1


def test_off(emitter: EventEmitter) -> None:
    log: list[Any] = []
    a, b = Recorder(log, "a"), Recorder(log, "b")
    emitter.on("x", a).on("x", b).on("x", a)
    assert emitter.off("x", a) is emitter
    assert emitter.listeners("x") == [a, b], "the one added last goes first"
    emitter.remove_listener("x", a)
    emitter.off("x", a)
    emitter.off("unknown", a)
    assert emitter.listeners("x") == [b]
    emitter.off("x", b)
    assert emitter.event_names() == []
    assert not emitter.has_listeners("x")


def test_off_takes_bound_methods(emitter: EventEmitter) -> None:
    class Thing:
        def method(self) -> None:
            raise AssertionError("removed")

    thing = Thing()
    emitter.on("x", thing.method)
    emitter.off("x", thing.method)
    assert emitter.emit("x") is False


def test_changes_during_a_round_count_from_the_next(emitter: EventEmitter) -> None:
    log: list[Any] = []
    late, removed = Recorder(log, "late"), Recorder(log, "removed")

    def change() -> None:
        emitter.on("x", late)
        emitter.off("x", removed)

    emitter.once("x", change)
    emitter.on("x", removed)
    emitter.emit("x")
    assert log == [("removed",)]
    emitter.emit("x")
    assert log == [("removed",), ("late",)]


def test_remove_all_listeners(emitter: EventEmitter) -> None:
    log: list[Any] = []
    for event in ("x", "y"):
        emitter.on(event, Recorder(log, event))
    assert emitter.remove_all_listeners("x") is emitter
    assert emitter.event_names() == ["y"]
    emitter.remove_all_listeners()
    assert emitter.event_names() == []
    emitter.remove_all_listeners("x")
    assert emitter.emit("y") is False and log == []


def test_removing_all_in_the_middle_of_a_round(emitter: EventEmitter) -> None:
    log: list[Any] = []
    emitter.on("x", lambda: emitter.remove_all_listeners())
    emitter.once("x", Recorder(log, "once"))
    emitter.emit("x")
    assert log == [("once",)]
    assert emitter.emit("x") is False


def test_inspection_gives_copies(emitter: EventEmitter) -> None:
    a = Recorder([], "a")
    emitter.on("x", a)
    emitter.listeners("x").clear()
    emitter.event_names().clear()
    assert emitter.listeners("x") == [a]
    assert emitter.listener_count("x") == 1
    assert emitter.has_listeners("x")


def test_string_enumerations_are_names(emitter: EventEmitter) -> None:
    log: list[Any] = []
    a = Recorder(log, "a")
    emitter.on(Names.GREETING, a)
    assert emitter.emit("greeting") is True
    assert emitter.emit(Names.GREETING) is True
    assert emitter.event_names() == ["greeting"]
    assert type(emitter.event_names()[0]) is str
    assert emitter.listener_count(Names.GREETING) == 1
    emitter.off(Names.GREETING, a)
    assert not emitter.has_listeners("greeting")


@pytest.mark.parametrize("name", [1, None, b"x", ("x",)])
def test_other_names_are_refused(emitter: EventEmitter, name: Any) -> None:
    for call in (emitter.on, emitter.once, emitter.prepend_listener, emitter.off):
        with pytest.raises(TypeError, match="an event name is a string"):
            call(name, print)
    with pytest.raises(TypeError, match="an event name is a string"):
        emitter.emit(name)


def test_misuse(emitter: EventEmitter) -> None:
    with pytest.raises(TypeError, match="a listener must be callable, not int"):
        emitter.on("x", 5)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="a listener must be callable"):
        emitter.on("x")("no function")  # type: ignore[type-var]
    with pytest.raises(TypeError, match="event name"):
        emitter.emit()
    assert emitter.event_names() == []


# -- what listeners raise


def test_emit_raises_what_a_listener_raises(emitter: EventEmitter) -> None:
    log: list[Any] = []

    def fail() -> None:
        raise ValueError("no")

    emitter.on("x", fail).on("x", Recorder(log, "after"))
    with pytest.raises(ValueError, match="no"):
        emitter.emit("x")
    assert log == []


def test_fired_events_log_and_go_on(emitter: EventEmitter, caplog: pytest.LogCaptureFixture) -> None:
    log: list[Any] = []

    def fail() -> None:
        raise ValueError("no")

    emitter.on("x", fail).on("x", Recorder(log, "after"))
    with caplog.at_level(logging.ERROR):
        assert emitter._fire("x", (), None, False, False) is True
    assert log == [("after",)]
    (record,) = caplog.records
    assert "fail" in record.getMessage() and "'x'" in record.getMessage()
    assert record.exc_info is not None and str(record.exc_info[1]) == "no"


def test_interrupts_pass(emitter: EventEmitter) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    emitter.on("x", interrupt)
    with pytest.raises(KeyboardInterrupt):
        emitter._fire("x", (), None, False, False)


async def test_an_async_listener_fails() -> None:
    failures: list[Any] = []

    class Watched(EventEmitter):
        def _listener_failed(self, event: str, fn: Any, error: BaseException) -> None:
            failures.append((event, fn, str(error)))

    watched = Watched()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("later")

    watched.on("x", fail)
    assert watched.emit("x") is True
    for _ in range(5):
        await asyncio.sleep(0)
    assert failures == [("x", fail, "later")]


async def test_async_listeners_start_at_once(emitter: EventEmitter) -> None:
    log: list[str] = []

    @emitter.on("x")
    async def first() -> None:
        log.append("first")
        await asyncio.sleep(0)
        log.append("first again")

    @emitter.on("x")
    def second() -> None:
        log.append("second")

    emitter.emit("x")
    assert log == ["first", "second"]
    for _ in range(5):
        await asyncio.sleep(0)
    assert log == ["first", "second", "first again"]


def test_an_async_listener_without_a_loop(emitter: EventEmitter) -> None:
    async def listener() -> None:
        raise AssertionError("never begun")

    emitter.on("x", listener)
    with pytest.raises(RuntimeError, match="no running event loop"):
        emitter.emit("x")
    gc.collect()


# -- arguments and answers


def test_trim(emitter: EventEmitter) -> None:
    log: list[Any] = []
    emitter.on("x", lambda: log.append(()))
    emitter.on("x", lambda a: log.append((a,)))
    emitter.on("x", lambda a, b, c=3: log.append((a, b, c)))
    emitter.on("x", lambda *args: log.append(args))
    emitter._fire("x", (1, 2), None, True, False)
    assert log == [(), (1,), (1, 2, 3), (1, 2)]


def test_without_trim_the_arguments_must_fit(emitter: EventEmitter, caplog: pytest.LogCaptureFixture) -> None:
    emitter.on("x", lambda: None)
    with caplog.at_level(logging.ERROR):
        emitter._fire("x", (1,), None, False, False)
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("result", "expected"),
    [(None, ()), (5, (5,)), ((1, 2), (1, 2)), ((), ()), ([1, 2], ([1, 2],)), ({}, ({},)), (False, (False,))],
)
def test_the_return_value_answers(emitter: EventEmitter, result: Any, expected: tuple[Any, ...]) -> None:
    answers: list[Any] = []
    emitter.on("x", lambda value: result)
    emitter._fire("x", (0,), lambda *args: answers.append(args), False, False)
    assert answers == [expected]
    answer(lambda *args: answers.append(args), result)
    assert answers == [expected, expected]


def test_a_listener_with_room_gets_the_ack(emitter: EventEmitter) -> None:
    answers: list[Any] = []

    def ack(*args: Any) -> None:
        answers.append(args)

    def room(value: int, reply: Any) -> str:
        assert reply is ack
        reply("mine")
        return "not an answer"

    emitter.on("x", room)
    emitter._fire("x", (1,), ack, False, False)
    emitter.off("x", room)
    emitter.on("x", lambda *args: args[-1]("star"))
    emitter._fire("x", (1,), ack, False, False)
    assert answers == [("mine",), ("star",)]


async def test_an_async_listener_answers(emitter: EventEmitter) -> None:
    answers: list[Any] = []

    async def plain(value: int) -> int:
        return value + 1

    async def room(value: int, reply: Any) -> str:
        reply("mine")
        return "not an answer"

    emitter.on("x", plain).on("x", room)
    emitter._fire("x", (1,), lambda *args: answers.append(args), False, False)
    for _ in range(5):
        await asyncio.sleep(0)
    assert sorted(answers, key=str) == [("mine",), (2,)]


class Callable_:
    def __call__(self, a: int, b: int) -> None: ...

    def method(self, a: int) -> None: ...

    @staticmethod
    def static(a: int) -> None: ...

    @classmethod
    def class_(cls, a: int, b: int) -> None: ...


def _wrapped() -> Any:
    def decorate(fn: Any) -> Any:
        @functools.wraps(fn)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return fn(*args, **kwargs)

        return wrapper

    @decorate
    def inner(a: int, b: int) -> None: ...

    return inner


def _positional_only(a: int, /, b: int, *, c: int = 0) -> None: ...


async def _coroutine(a: int) -> None: ...


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (lambda: None, 0),
        (lambda a, b=1: None, 2),
        (lambda *args: None, None),
        (lambda a, *args: None, None),
        (lambda **kwargs: None, 0),
        (_positional_only, 2),
        (_coroutine, 1),
        (Callable_(), 2),
        (Callable_().method, 1),
        (Callable_.method, 2),
        (Callable_.static, 1),
        (Callable_().static, 1),
        (Callable_.class_, 2),
        (functools.partial(lambda a, b, c: None, 1), 2),
        (functools.partial(lambda *args: None, 1), None),
        (_wrapped(), 2),
        ([].append, 1),
        (print, None),
    ],
)
def test_positional_limit(fn: Any, expected: int | None) -> None:
    limit = positional_limit(fn)
    assert limit > UNLIMITED if expected is None else limit == expected


# -- memory


def test_an_emitter_and_its_listener_go_together() -> None:
    class Held(EventEmitter):
        pass

    def make() -> weakref.ref[Held]:
        held = Held()
        held.on("x", lambda: held)
        return weakref.ref(held)

    reference = make()
    gc.collect()
    assert reference() is None


def test_without_listeners_there_is_no_dict() -> None:
    emitter = EventEmitter()
    assert gc.get_referents(emitter) == [None]
    emitter.emit("x")
    emitter.off("x", print)
    assert gc.get_referents(emitter) == [None]
