from __future__ import annotations

import asyncio
import logging
import math
import random

import pytest

from fastsio.engine.timers import Deadline, TimerWheel
from tests.unit.engine.fakes import Clock


class Entry(Deadline):
    __slots__ = ("clock", "deadline", "fired", "then", "tick")

    def __init__(self, clock: Clock, then=None) -> None:
        self.clock = clock
        self.deadline = 0.0
        self.tick = 0
        self.fired: list[float] = []
        self.then = then

    def expire(self) -> None:
        self.fired.append(self.clock.now)
        if self.then is not None:
            self.then(self)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wheel(clock: Clock) -> TimerWheel:
    return TimerWheel(clock, 0.1)


def test_fires_once_never_early_and_at_most_a_tick_late(clock: Clock, wheel: TimerWheel) -> None:
    entries = []
    for i in range(100):
        entry = Entry(clock)
        delay = 0.013 * i
        wheel.arm(entry, delay)
        entries.append((entry, clock.now + delay))
    clock.advance(5)
    for entry, due in entries:
        assert len(entry.fired) == 1
        assert due - 0.0002 <= entry.fired[0] <= due + 0.1 + 0.0002
    assert len(wheel) == 0
    assert clock.pending == 0


def test_one_loop_timer_for_all(clock: Clock, wheel: TimerWheel) -> None:
    for i in range(50):
        wheel.arm(Entry(clock), 10 - i * 0.15)
    assert clock.pending == 1


def test_moving_later_keeps_the_bucket_and_fires_at_the_new_time(clock: Clock, wheel: TimerWheel) -> None:
    entry = Entry(clock)
    wheel.arm(entry, 1)
    tick = entry.tick
    clock.advance(0.5)
    wheel.arm(entry, 1)
    assert entry.tick == tick
    clock.advance(0.9)
    assert entry.fired == []
    clock.advance(0.3)
    assert len(entry.fired) == 1


def test_moving_earlier(clock: Clock, wheel: TimerWheel) -> None:
    entry = Entry(clock)
    wheel.arm(entry, 10)
    wheel.arm(entry, 1)
    clock.advance(1.2)
    assert len(entry.fired) == 1
    clock.advance(20)
    assert len(entry.fired) == 1


def test_cancel(clock: Clock, wheel: TimerWheel) -> None:
    entry = Entry(clock)
    wheel.cancel(entry)
    wheel.arm(entry, 1)
    wheel.cancel(entry)
    assert len(wheel) == 0 and entry.tick == 0
    clock.advance(3)
    assert entry.fired == []
    wheel.arm(entry, 1)
    clock.advance(1.2)
    assert len(entry.fired) == 1


def test_an_entry_put_back_does_not_delay_the_others(clock: Clock, wheel: TimerWheel) -> None:
    # The first bucket's round arms a far deadline while a nearer bucket still waits.
    moved, near = Entry(clock), Entry(clock)
    wheel.arm(moved, 1)
    wheel.arm(near, 1.5)
    wheel.arm(moved, 60)
    clock.advance(2)
    assert len(near.fired) == 1
    assert moved.fired == []
    clock.advance(60)
    assert len(moved.fired) == 1


def test_expire_may_arm_itself_again(clock: Clock, wheel: TimerWheel) -> None:
    entry = Entry(clock, lambda entry: wheel.arm(entry, 1))
    wheel.arm(entry, 1)
    clock.advance(5.5)
    assert len(entry.fired) == 5
    wheel.cancel(entry)
    clock.advance(5)
    assert len(entry.fired) == 5


def test_expire_may_arm_and_cancel_others(clock: Clock, wheel: TimerWheel) -> None:
    # Both in one bucket: whichever comes first cancels the other.
    first, second = Entry(clock), Entry(clock)
    first.then = lambda _: wheel.cancel(second)
    second.then = lambda _: wheel.cancel(first)
    third = Entry(clock)
    fourth = Entry(clock, lambda _: wheel.arm(third, 0.05))
    for entry in (first, second, fourth):
        wheel.arm(entry, 1)
    clock.advance(2)
    assert len(first.fired) + len(second.fired) == 1
    assert len(third.fired) == 1
    assert len(wheel) == 0


def test_arming_with_no_delay_over_and_over_lets_the_loop_turn(clock: Clock, wheel: TimerWheel) -> None:
    def again(entry: Entry) -> None:
        if len(entry.fired) < 10:
            wheel.arm(entry, 0)

    entry = Entry(clock, again)
    wheel.arm(entry, 0)
    clock.advance(2)
    assert len(entry.fired) == 10


def test_an_exception_stays_with_its_entry(
    clock: Clock, wheel: TimerWheel, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(entry: Entry) -> None:
        raise ValueError("no")

    entries = [Entry(clock, fail), Entry(clock), Entry(clock, fail)]
    for entry in entries:
        wheel.arm(entry, 1)
    with caplog.at_level(logging.ERROR):
        clock.advance(2)
    assert [len(entry.fired) for entry in entries] == [1, 1, 1]
    assert len(caplog.records) == 2


def test_close(clock: Clock, wheel: TimerWheel) -> None:
    entries = [Entry(clock) for _ in range(3)]
    for i, entry in enumerate(entries):
        wheel.arm(entry, 1 + i)
    wheel.close()
    clock.advance(10)
    assert all(entry.fired == [] and entry.tick == 0 for entry in entries)
    assert clock.pending == 0
    wheel.arm(entries[0], 1)
    clock.advance(2)
    assert len(entries[0].fired) == 1


def test_a_loop_that_wakes_early(clock: Clock) -> None:
    wheel = TimerWheel(clock, 0.1)
    entry = Entry(clock)
    wheel.arm(entry, 1)
    # Woken well before its time: nothing fires, and it is woken again.
    clock.now += 0.9
    clock.wake()
    assert entry.fired == []
    clock.advance(0.3)
    assert len(entry.fired) == 1


def test_rounding_cannot_hold_an_entry(clock: Clock) -> None:
    # Deadlines an ulp around each multiple of the granularity, where n * g and n // g disagree.
    for number in range(1, 2000):
        clock = Clock(0.0)
        wheel = TimerWheel(clock, 0.1)
        for target in (number * 0.1, math.nextafter(number * 0.1, 1e9), math.nextafter(number * 0.1, 0)):
            wheel.arm(Entry(clock), target)
        clock.advance(number * 0.1 + 0.2)
        assert len(wheel) == 0


def test_random_operations_against_a_model() -> None:
    rng = random.Random(7)
    clock = Clock()
    wheel = TimerWheel(clock, 0.05)
    entries = [Entry(clock) for _ in range(20)]
    due: dict[Entry, float] = {}
    for _ in range(3000):
        entry = rng.choice(entries)
        action = rng.random()
        if action < 0.5:
            delay = rng.random() * rng.choice((0.01, 1, 20))
            wheel.arm(entry, delay)
            due[entry] = clock.now + delay
        elif action < 0.7:
            wheel.cancel(entry)
            due.pop(entry, None)
        else:
            clock.advance(rng.random() * rng.choice((0.01, 0.3, 2)))
        for other in entries:
            if other.fired:
                (at,) = other.fired
                expected = due.pop(other)
                assert expected - 1e-4 <= at <= expected + 0.05 + 1e-4
                other.fired.clear()
        for other, deadline in due.items():
            assert deadline + 0.051 > clock.now, "overdue"
            assert other.tick
        assert len(wheel) == len(due)


async def test_on_a_real_loop() -> None:
    loop = asyncio.get_running_loop()
    wheel = TimerWheel(loop, 0.005)
    done = loop.create_future()

    class Once(Deadline):
        __slots__ = ("deadline", "tick")

        def __init__(self) -> None:
            self.deadline = 0.0
            self.tick = 0

        def expire(self) -> None:
            done.set_result(loop.time() >= self.deadline - 0.001)

    wheel.arm(Once(), 0.02)
    assert await asyncio.wait_for(done, 5)


def test_an_entry_that_can_wait_moves_by_its_deadline(clock: Clock, wheel: TimerWheel) -> None:
    entry = Entry(clock)
    assert not wheel.can_wait(entry.tick, wheel.due(5)), "it is not armed"
    wheel.arm(entry, 2)
    assert not wheel.can_wait(entry.tick, wheel.due(1)), "it would be late"
    later = wheel.due(3)
    assert later == clock.now + 3 and wheel.can_wait(entry.tick, later)
    entry.deadline = later
    clock.advance(2.9)
    assert entry.fired == []
    clock.advance(0.3)
    assert len(entry.fired) == 1
