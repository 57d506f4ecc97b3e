"""The events of the list: a router, whose handlers get what they are annotated with."""

import itertools
from typing import Annotated

import msgspec

import fastsio

router = fastsio.Router(prefix="todo:")

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
todos: dict[int, dict] = {}
numbers = itertools.count(1)


class Change(msgspec.Struct):
    """Part of an entry; what the client leaves out stays as it is."""

    text: Text | None = None
    done: bool | None = None


@router.on("connection")
def connection(socket):
    socket.emit("todo:all", list(todos.values()))


@router.on("add")
def add(socket, text: Text) -> int:
    number = next(numbers)
    todos[number] = {"id": number, "text": text, "done": False}
    socket.nsp.emit("todo:changed", todos[number])
    return number


@router.on("change")
def change(socket, number: int, change: Change) -> bool:
    if number not in todos:
        return False
    given = {key: value for key, value in msgspec.structs.asdict(change).items() if value is not None}
    todos[number].update(given)
    socket.nsp.emit("todo:changed", todos[number])
    return True


@router.on("error")
def error(socket, exception):
    print(socket.id, exception, flush=True)
