"""Handlers with annotations: what reaches them, and what a client that sends something else is told."""

from __future__ import annotations

import dataclasses
import enum
import functools
import logging
import typing
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Literal, Optional, TypedDict, Union

import msgspec
import pydantic
import pytest

from fastsio import Server, Socket
from fastsio._emitter import annotations_of
from fastsio.exceptions import InvalidArguments
from fastsio.server.typed import read_plan
from tests.unit.server.in_process import LocalClient

if typing.TYPE_CHECKING:
    from decimal import Decimal


class Point(msgspec.Struct):
    x: int
    y: int = 0


class Tree(msgspec.Struct):
    children: list[Tree]


@dataclasses.dataclass
class Size:
    width: float
    height: float


class Options(TypedDict, total=False):
    depth: int


class User(pydantic.BaseModel):
    name: str
    age: int


class Colour(enum.Enum):
    RED = "red"


class Ack(typing.Protocol):
    def __call__(self, *args: Any) -> None: ...


Positive = Annotated[int, msgspec.Meta(gt=0)]


def convert(fn: Callable[..., Any], *args: Any, ack: Any = None) -> tuple[Any, ...]:
    """What ``fn`` would be called with."""
    annotations = annotations_of(fn)
    assert annotations is not None
    plan = read_plan(fn, annotations)
    assert plan is not None and plan.convert is not None
    return plan.convert("event", args, ack)


def refused(fn: Callable[..., Any], *args: Any, ack: Any = None) -> str:
    with pytest.raises(InvalidArguments) as caught:
        convert(fn, *args, ack=ack)
    assert caught.value.event == "event"
    assert caught.value.answer() == {"error": "invalid arguments", "detail": caught.value.detail}
    return caught.value.detail


def takes(type_: Any) -> Callable[..., Any]:
    def handler(value: Any) -> None: ...

    handler.__annotations__ = {"value": type_}
    return handler


# -- values


@pytest.mark.parametrize(
    ("type_", "value", "converted"),
    [
        (int, 1, 1),
        (float, 1, 1.0),
        (str, "x", "x"),
        (bool, True, True),
        (bytes, b"x", b"x"),
        (bytes, bytearray(b"x"), b"x"),
        (bytearray, b"x", bytearray(b"x")),
        (None, None, None),
        (list[int], [1, 2], [1, 2]),
        (tuple[int, str], [1, "x"], (1, "x")),
        (dict[int, str], {"1": "x"}, {1: "x"}),
        (dict[str, bytes], {"a": b"x"}, {"a": b"x"}),
        (list, [1, "x"], [1, "x"]),
        (dict, {"a": 1}, {"a": 1}),
        (Optional[int], None, None),  # noqa: UP045
        (int | None, 1, 1),
        (Literal["a", "b"], "a", "a"),
        (Union[str, bytes], b"x", b"x"),  # noqa: UP007
        (str | bytes, "x", "x"),
        (str | bytes | None, None, None),
        (Point | bytes, {"x": 1}, Point(1)),
        (Point | User, {"name": "Jo", "age": "7"}, User(name="Jo", age=7)),
        (Colour, "red", Colour.RED),
        (uuid.UUID, "12345678123456781234567812345678", uuid.UUID("12345678123456781234567812345678")),
        (Positive, 3, 3),
        (Point, {"x": 1}, Point(1)),
        (list[Point], [{"x": 1}, {"x": 2, "y": 3}], [Point(1), Point(2, 3)]),
        (Tree, {"children": [{"children": []}]}, Tree([Tree([])])),
        (Size, {"width": 1, "height": 2.5}, Size(1.0, 2.5)),
        (Options, {"depth": 1}, {"depth": 1}),
        (User, {"name": "Jo", "age": 7}, User(name="Jo", age=7)),
        (list[User], [{"name": "Jo", "age": 7}], [User(name="Jo", age=7)]),
        (Optional[User], None, None),  # noqa: UP045
        (Annotated[int, pydantic.Field(gt=0)], 3, 3),
    ],
)
def test_values_are_converted(type_: Any, value: Any, converted: Any) -> None:
    (result,) = convert(takes(type_), value)
    assert result == converted
    assert type(result) is type(converted)


@pytest.mark.parametrize(
    ("type_", "value", "detail"),
    [
        (int, "1", "value: Expected `int`, got `str`"),
        (int, 1.5, "value: Expected `int`, got `float`"),
        (int, True, "value: Expected `int`, got `bool`"),
        (str, None, "value: Expected `str`, got `null`"),
        (str, b"x", "value: Expected `str`, got `bytes`"),
        (bytes, "aGk=", "value: Expected `bytes`, got `str`"),
        (dict[str, bytes], {"a": "aGk="}, "value[...]: Expected `bytes`, got `str`"),
        (list[int], [1, "x"], "value[1]: Expected `int`, got `str`"),
        (Literal["a", "b"], "c", "value: Invalid enum value 'c'"),
        (str | bytes, 1, "value: Expected `str | bytes`, got `int`"),
        (Positive, 0, "value: Expected `int` >= 1"),
        (Point, {"x": "1"}, "value.x: Expected `int`, got `str`"),
        (Point, {}, "value: Object missing required field `x`"),
        (Point, [1], "value: Expected `object`, got `array`"),
        (list[Point], [{"x": 1}, {"x": None}], "value[1].x: Expected `int`, got `null`"),
        (Size, {"width": 1}, "value: Object missing required field `height`"),
        (User, {"name": "Jo"}, "value.age: Field required"),
        (User, {"name": 1}, "value.name: Input should be a valid string (and 1 more)"),
        (list[User], [{"age": 1}], "value[0].name: Field required"),
        (Annotated[int, pydantic.Field(gt=0)], 0, "value: Input should be greater than 0"),
    ],
)
def test_what_does_not_fit_is_refused(type_: Any, value: Any, detail: str) -> None:
    assert refused(takes(type_), value) == detail


def test_several_arguments() -> None:
    def handler(point: Point, text: str, data: bytes, untyped, user: User): ...  # type: ignore[no-untyped-def]

    values = convert(handler, {"x": 1}, "t", b"d", object, {"name": "Jo", "age": 7})
    assert values == (Point(1), "t", b"d", object, User(name="Jo", age=7))
    good = ({"x": 1}, "t", b"d", None, {"name": "Jo", "age": 7})
    assert refused(handler, {"x": ""}, *good[1:]) == "point.x: Expected `int`, got `str`"
    assert refused(handler, *good[:2], "d", *good[3:]) == "data: Expected `bytes`, got `str`"
    assert refused(handler, *good[:4], {"age": 7}) == "user.name: Field required"


def test_what_has_no_type_is_passed_as_it_is() -> None:
    def handler(a: Any, b, c: object, d: int): ...  # type: ignore[no-untyped-def]

    value = {"a": [1]}
    values = convert(handler, value, value, value, 1)
    assert values[0] is values[1] is values[2] is value


# -- how many


def test_missing_and_surplus_arguments() -> None:
    def two(a: int, b: str) -> None: ...
    def one(a: int) -> None: ...
    def optional(a: int, b: str = "x", c: str = "y") -> None: ...

    assert refused(two, 1) == "takes 2 arguments, got 1"
    assert refused(two) == "takes 2 arguments, got 0"
    assert refused(two, 1, "b", 3) == "takes 2 arguments, got 3"
    assert refused(one) == "takes 1 argument, got 0"
    assert refused(optional) == "takes 1 to 3 arguments, got 0"
    assert refused(optional, 1, "", "", 4) == "takes 1 to 3 arguments, got 4"
    assert convert(optional, 1) == (1,), "the function has its defaults itself"
    assert convert(optional, 1, "b") == (1, "b")


def test_any_number_of_arguments() -> None:
    def rest(a: int, *numbers: float) -> None: ...
    def models(*users: User) -> None: ...
    def anything(a: int, *args: Any) -> None: ...

    assert convert(rest, 1) == (1,)
    assert convert(rest, 1, 2, 3.5) == (1, 2.0, 3.5)
    assert refused(rest) == "takes at least 1 argument, got 0"
    assert refused(rest, 1, 2, "3") == "numbers[1]: Expected `float`, got `str`"
    assert refused(rest, "") == "a: Expected `int`, got `str`"
    assert convert(models, {"name": "Jo", "age": 7}) == (User(name="Jo", age=7),)
    assert refused(models, {"name": "Jo", "age": 7}, {}) == "users[1].name: Field required (and 1 more)"
    assert convert(anything, 1, "x", None) == (1, "x", None)


# -- the acknowledgement


def ack(*args: Any) -> None: ...


@pytest.mark.parametrize("kind", [Ack, Callable[..., None], Callable, "Callable[..., None]", Ack | None])
def test_an_annotated_acknowledgement(kind: Any) -> None:
    def handler(a: int, b: str = "b", ack: Any = None) -> None: ...
    def demands(a: int, ack: Any) -> None: ...

    handler.__annotations__["ack"] = demands.__annotations__["ack"] = kind
    assert convert(handler, 1, "x", ack=ack) == (1, "x", ack)
    assert convert(handler, 1, ack=ack) == (1, "b", ack), "defaults fill the gap"
    assert convert(handler, 1) == (1,)
    assert convert(demands, 1, ack=ack) == (1, ack)
    assert refused(demands, ack=ack) == "takes 1 argument, got 0"
    assert refused(demands, 1, 2, ack=ack) == "takes 1 argument, got 2"
    value, substitute = convert(demands, 1)
    assert value == 1
    assert substitute("nobody", "listens") is None


def test_an_acknowledgement_without_annotation() -> None:
    def handler(a: int, ack): ...  # type: ignore[no-untyped-def]
    def optional(a: int, ack=None): ...  # type: ignore[no-untyped-def]

    assert convert(handler, 1, ack=ack) == (1, ack)
    assert convert(handler, 1, 2) == (1, 2)
    assert convert(handler, 1, 2, ack=ack) == (1, 2), "the client filled the place"
    assert refused(handler, 1) == "takes 2 arguments, got 1"
    assert refused(handler, ack=ack) == "takes 1 to 2 arguments, got 0"
    assert convert(optional, 1) == (1,)
    assert convert(optional, 1, ack=ack) == (1, ack)


def test_no_place_for_the_acknowledgement() -> None:
    def handler(a: int, b: str = "") -> None: ...

    assert convert(handler, 1, ack=ack) == (1,), "b is a string, and never the acknowledgement"


def test_the_acknowledgement_behind_any_number() -> None:
    def handler(a: int, *rest: int) -> None: ...

    assert convert(handler, 1, 2, 3, ack=ack) == (1, 2, 3, ack)
    assert convert(handler, 1, ack=ack) == (1, ack)


# -- signatures


def test_no_annotations_no_plan() -> None:
    def plain(a, b): ...  # type: ignore[no-untyped-def]
    def says_nothing(*args: Any) -> None: ...
    def returns(a) -> int: ...  # type: ignore[no-untyped-def,empty-body]

    assert annotations_of(plain) is None
    assert annotations_of(print) is None
    assert annotations_of([].append) is None
    for fn in (says_nothing, returns):
        assert read_plan(fn, fn.__annotations__) is None


def test_a_signature_is_read_once_for_all_closures() -> None:
    def make(default: Any) -> Callable[..., Any]:
        def handler(point: Point, other: str = default) -> None: ...

        return handler

    plans = [read_plan(fn, fn.__annotations__) for fn in (make("x"), make("x"))]
    assert plans[0] is plans[1] is not None
    other = make("another default")
    assert read_plan(other, other.__annotations__) is not plans[0]


def test_closures_with_types_of_their_own() -> None:
    def make(type_: type) -> Callable[..., Any]:
        def handler(value: Any) -> None: ...

        handler.__annotations__ = {"value": type_}
        return handler

    assert convert(make(int), 1) == (1,)
    assert convert(make(str), "x") == ("x",)
    assert refused(make(int), "x")


class Handlers:
    def method(self, point: Point) -> None: ...

    def __call__(self, point: Point) -> None: ...


def decorated(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any) -> Any:
        return fn(*args)

    return wrapper


@decorated
def wrapped(point: Point) -> None: ...


@decorated
def wrapped_too(text: str) -> None: ...


def with_more(extra: int, point: Point) -> None: ...


@pytest.mark.parametrize(
    "fn", [Handlers().method, Handlers(), wrapped, functools.partial(with_more, 1)], ids=lambda fn: type(fn)
)
def test_every_kind_of_callable(fn: Callable[..., Any]) -> None:
    assert convert(fn, {"x": 1}) == (Point(1),)
    assert refused(fn) == "takes 1 argument, got 0"


def test_decorated_functions_keep_their_own_signatures() -> None:
    assert convert(wrapped, {"x": 1}) == (Point(1),)
    assert convert(wrapped_too, "x") == ("x",)


def unresolvable(amount: Decimal) -> None: ...


def union_of_objects(value: Point | Size) -> None: ...


def callback_in_front(ack: Callable[..., None], value: int) -> None: ...


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (unresolvable, "handler unresolvable, parameter 'amount': annotation 'Decimal' cannot be resolved"),
        (callback_in_front, "handler callback_in_front, parameter 'ack': the acknowledgement is the last"),
        (takes(list[str | bytes]), "parameter 'value': events cannot be converted to list"),
    ],
)
def test_annotations_that_make_no_sense(fn: Callable[..., Any], message: str) -> None:
    with pytest.raises(TypeError, match=message.replace("(", r"\(")):
        read_plan(fn, fn.__annotations__)


# -- on a server


def serve(register: Callable[[Socket], Any], **options: Any) -> Server:
    io = Server(**options)
    io.on("connection", register)
    return io


@pytest.mark.parametrize("protocol", [4, 5])
async def test_a_handler_gets_what_it_asks_for(protocol: int) -> None:
    got: list[Any] = []

    def register(socket: Socket) -> None:
        @socket.on("move")
        def move(point: Point, data: bytes) -> int:
            got.append((point, data))
            return point.x

        @socket.on("later")
        async def later(point: Point) -> Point:
            return point

    client = LocalClient(serve(register), protocol=protocol)
    client.send('51-7["move",{"x":1},{"_placeholder":true,"num":0}]')
    client.send(b"\x01")
    assert got == [(Point(1), b"\x01")]
    assert client.answer() == [1]
    client.emit("later", {"x": 2, "y": 3}, ack=0)


@pytest.mark.parametrize("protocol", [4, 5])
async def test_a_client_is_told_what_was_wrong(protocol: int, caplog: pytest.LogCaptureFixture) -> None:
    errors: list[Any] = []

    def register(socket: Socket) -> None:
        @socket.on("move")
        def move(point: Point) -> None:
            raise AssertionError("called")

        @socket.on("async")
        async def later(point: Point, ack: Ack) -> None:
            raise AssertionError("called")

        socket.on("error", errors.append)

    client = LocalClient(serve(register), protocol=protocol)
    for event in ("move", "async"):
        client.emit(event, {"x": "one"}, ack=3)
        assert client.answer() == [
            {"error": "invalid arguments", "detail": "point.x: Expected `int`, got `str`"}
        ]
    client.emit("move")
    assert client.take() == [], "nobody asked"
    assert [(error.event, error.detail) for error in errors] == [
        ("move", "point.x: Expected `int`, got `str`"),
        ("async", "point.x: Expected `int`, got `str`"),
        ("move", "takes 1 argument, got 0"),
    ]
    assert all(type(error) is InvalidArguments for error in errors)
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 3, "one line each"
    assert "invalid arguments of 'move'" in lines[0].message and lines[0].exc_info is None


async def test_other_listeners_are_called_all_the_same() -> None:
    got: list[Any] = []

    def register(socket: Socket) -> None:
        socket.on("x", typed)
        socket.on("x", got.append)

    def typed(value: int) -> None:
        got.append(value)

    client = LocalClient(serve(register))
    client.emit("x", "not a number")
    client.emit("x", 1)
    assert got == ["not a number", 1, 1]


async def test_events_that_no_client_sends_are_not_converted() -> None:
    got: list[Any] = []

    def register(socket: Socket) -> None:
        @socket.on("disconnect")
        def disconnect(reason: int, description: bytes) -> None:
            got.append(reason)

        @socket.on("error")
        def error(exception: Decimal) -> None: ...

    client = LocalClient(serve(register))
    client.leave()
    assert got == ["transport close"]


async def test_it_can_be_switched_off() -> None:
    got: list[Any] = []

    def register(socket: Socket) -> None:
        @socket.on("x")
        def x(value: Decimal) -> None:
            got.append(value)

    LocalClient(serve(register, typed_events=False)).emit("x", "1")
    assert got == ["1"]


async def test_a_handler_that_cannot_be_read_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    failures: list[Any] = []

    def register(socket: Socket) -> None:
        socket.on("x", unresolvable)

    io = serve(register)
    io.on("error", lambda error: failures.append(error))
    LocalClient(io)
    assert "cannot be resolved" in str(failures[0])
