from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import sys
import weakref
from typing import Any

import pytest

from fastsio import _emitter
from fastsio.engine import tasks

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_first_step_runs_at_once_and_in_order() -> None:
    seen: list[str] = []

    async def work(name: str) -> None:
        seen.append(f"{name} begins")
        await asyncio.sleep(0)
        seen.append(f"{name} ends")

    tasks.start(work("a"))
    seen.append("between")
    tasks.start(work("b"))
    assert seen == ["a begins", "between", "b begins"]
    await settle()
    assert seen == ["a begins", "between", "b begins", "a ends", "b ends"]


async def test_current_task_is_its_own_in_every_step() -> None:
    outer = asyncio.current_task()
    seen: list[Any] = []

    async def inner() -> None:
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())

    async def work() -> None:
        mine = asyncio.current_task()
        nested = tasks.start(inner())
        assert asyncio.current_task() is mine
        seen.append(mine)
        await nested
        assert asyncio.current_task() is mine

    task = tasks.start(work())
    assert asyncio.current_task() is outer
    await task
    assert task is not outer
    assert seen[1] is task
    assert seen[0] is seen[2] and seen[0] not in (task, outer)


async def test_result_and_error() -> None:
    results: list[Any] = []
    errors: list[BaseException] = []

    async def give(value: Any, suspend: bool) -> Any:
        if suspend:
            await asyncio.sleep(0)
        if isinstance(value, Exception):
            raise value
        return value

    failure = ValueError("no")
    for suspend in (False, True):
        tasks.start(give(1, suspend), results.append, errors.append)
        tasks.start(give(failure, suspend), results.append, errors.append)
    await settle()
    assert results == [1, 1]
    assert errors == [failure, failure]
    assert not tasks._running


async def test_the_task_can_be_awaited_too() -> None:
    async def give() -> int:
        return 7

    async def fail() -> None:
        raise KeyError("x")

    assert await tasks.start(give()) == 7
    with pytest.raises(KeyError):
        await tasks.start(fail(), on_error=lambda error: None)


async def test_an_error_in_on_result_goes_to_on_error() -> None:
    errors: list[BaseException] = []

    async def give() -> int:
        return 7

    def fail(result: int) -> None:
        raise RuntimeError("cannot take it")

    tasks.start(give(), fail, errors.append)
    await settle()
    assert [str(error) for error in errors] == ["cannot take it"]


async def test_without_on_error_the_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise RuntimeError("unheard")

    with caplog.at_level(logging.ERROR):
        tasks.start(fail())
        await settle()
    (record,) = caplog.records
    assert record.exc_info is not None and str(record.exc_info[1]) == "unheard"


async def test_cancellation() -> None:
    seen: list[str] = []
    errors: list[BaseException] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    task = tasks.start(work(), errors.append, errors.append)
    await settle()
    task.cancel()
    await settle()
    assert task.cancelled() and seen == ["cancelled"] and errors == []


async def test_cancelled_before_the_loop_turns() -> None:
    loop = asyncio.get_running_loop()
    child = loop.create_task(asyncio.sleep(60))
    seen: list[str] = []

    async def work() -> None:
        try:
            await child
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    task = tasks.start(work())
    task.cancel()
    await settle()
    assert task.cancelled() and seen == ["cancelled"]
    # A task passes its cancellation on to what it awaits.
    assert child.cancelled()


async def test_cancelled_before_the_loop_turns_during_a_bare_yield() -> None:
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(0)
            seen.append("went on")
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    task = tasks.start(work())
    task.cancel()
    await settle()
    assert task.cancelled() and seen == ["cancelled"]


async def test_cancelling_what_is_over_changes_nothing() -> None:
    results: list[int] = []

    async def give() -> int:
        return 1

    task = tasks.start(give(), results.append)
    task.cancel()
    await settle()
    assert results == [1] and not task.cancelled()


async def test_swallowed_cancellation() -> None:
    async def work() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "went on"
        return "never"

    task = tasks.start(work())
    task.cancel()
    assert await task == "went on"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout is new in 3.11")
async def test_timeout_inside() -> None:
    async def work() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        except TimeoutError:
            return "timed out"
        return "never"

    assert await tasks.start(work()) == "timed out"


async def test_wait_for_and_gather_inside() -> None:
    async def give(value: int) -> int:
        await asyncio.sleep(0)
        return value

    async def work() -> list[int]:
        first = await asyncio.wait_for(give(1), 5)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.sleep(60), 0.01)
        return [first, *await asyncio.gather(give(2), give(3))]

    assert await tasks.start(work()) == [1, 2, 3]


async def test_context_variables_stay_inside_and_last_over_steps() -> None:
    variable.set("outer")

    async def work() -> list[str]:
        seen = [variable.get()]
        token = variable.set("inner")
        await asyncio.sleep(0)
        seen.append(variable.get())
        variable.reset(token)
        seen.append(variable.get())
        return seen

    task = tasks.start(work())
    assert variable.get() == "outer"
    assert await task == ["outer", "inner", "outer"]
    assert variable.get() == "outer"


async def test_other_awaitables() -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[str] = loop.create_future()
    results: list[Any] = []

    class Custom:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return "custom"

    tasks.start(future, results.append)
    tasks.start(Custom(), results.append)
    tasks.start(loop.create_task(asyncio.sleep(0, "task")), results.append)
    future.set_result("future")
    await settle()
    assert sorted(results) == ["custom", "future", "task"]


def test_without_a_loop() -> None:
    async def work() -> None:
        raise AssertionError("never begun")

    # Nothing is left behind that would warn of a coroutine never awaited.
    with pytest.raises(RuntimeError, match="no running event loop"):
        tasks.start(work())
    gc.collect()


async def test_the_task_can_be_looked_at() -> None:
    async def some_handler() -> None:
        await asyncio.sleep(0)

    task = tasks.start(some_handler())
    assert "some_handler" in repr(task)
    assert task in asyncio.all_tasks()
    assert len(task.get_stack()) == 1
    await task


async def test_nothing_is_kept() -> None:
    class Marker:
        pass

    async def work(marker: Marker, fail: bool) -> None:
        await asyncio.sleep(0)
        if fail:
            raise ValueError("no")

    async def at_once(marker: Marker) -> None:
        raise ValueError("no")

    def run() -> list[weakref.ref[Marker]]:
        markers = [Marker() for _ in range(3)]
        tasks.start(work(markers[0], False))
        tasks.start(work(markers[1], True), on_error=lambda error: None)
        tasks.start(at_once(markers[2]), on_error=lambda error: None)
        return [weakref.ref(marker) for marker in markers]

    gc.collect()
    gc.disable()
    try:
        references = run()
        await settle()
        assert [reference() for reference in references] == [None, None, None]
    finally:
        gc.enable()


async def test_async_listeners_run_through_it() -> None:
    emitter = _emitter.EventEmitter()
    answers: list[tuple[Any, ...]] = []

    @emitter.on("x")
    async def x(value: int) -> tuple[int, int]:
        await asyncio.sleep(0)
        return value, value + 1

    emitter._fire("x", (1,), lambda *args: answers.append(args), False, False)
    await settle()
    assert answers == [(1, 2)]


async def test_interrupts_are_not_swallowed() -> None:
    errors: list[BaseException] = []

    class Stop(BaseException):
        pass

    async def work() -> None:
        raise Stop

    task = tasks.start(work(), on_error=errors.append)
    await settle()
    assert [type(error) for error in errors] == [Stop]
    assert task.done()
