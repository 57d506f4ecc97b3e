"""One process's connections to Redis: commands in order, streams read from where they were, channels.

Each of the three has a task that goes on until the link is stopped. A connection that is lost is made anew,
after pauses that grow; meanwhile commands wait, up to a limit, and streams are read on from where they were.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

__all__ = ["Command", "Fields", "RedisLink", "Stream", "StreamId", "format_id", "parse_id"]

logger = logging.getLogger("fastsio.adapters")

#: The id of an entry of a stream, ``(milliseconds, number)``.
StreamId = tuple[int, int]
#: What an entry holds.
Fields = Mapping[bytes, bytes]
Value = str | bytes | int

#: What a lost connection, a peer that does not answer and a refused command raise.
_FAILURES = (RedisError, OSError, asyncio.TimeoutError)
#: Seconds of the first and the longest pause before a connection is tried again.
_PAUSES = (0.05, 2.0)
#: Commands sent before their replies are read.
_BATCH = 256


def parse_id(text: str | bytes) -> StreamId:
    """An entry's id from the form it has in Redis.

    :raises ValueError: for anything else.
    """
    if isinstance(text, bytes):
        text = text.decode("ascii")
    milliseconds, _, number = text.partition("-")
    if not (text.isascii() and milliseconds.isdigit() and number.isdigit() and len(text) <= 41):
        raise ValueError("not an id of a stream")
    return int(milliseconds), int(number)


def format_id(id_: StreamId) -> str:
    """The form that an entry's id has in Redis."""
    return f"{id_[0]}-{id_[1]}"


class Command(Protocol):
    """A command that waits for its turn."""

    #: Name and arguments.
    words: Sequence[Value]

    def settle(self, reply: Any) -> None:
        """Redis has replied, perhaps with a ``RedisError``."""

    def postpone(self, error: BaseException) -> bool:
        """It could not be sent, or no reply came. Whether to try again."""
        ...


class _Asked:
    """A command whose reply somebody waits for; not tried again."""

    __slots__ = ("future", "words")

    def __init__(self, words: Sequence[Value]) -> None:
        self.words = words
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def settle(self, reply: Any) -> None:
        if not self.future.done():
            if isinstance(reply, BaseException):
                self.future.set_exception(reply)
            else:
                self.future.set_result(reply)

    def postpone(self, error: BaseException) -> bool:
        self.settle(error)
        return False


class Stream:
    """A stream that is read from its end on.

    :ivar position: the last entry that was read; ``(0, 0)`` if it had none.
    :ivar task: names, in the log, the task that reads it.
    """

    __slots__ = ("name", "on_entry", "position", "ready", "task")

    def __init__(self, name: str, on_entry: Callable[[StreamId, Fields], None]) -> None:
        self.name = name
        self.task = f"stream {name}"
        self.on_entry = on_entry
        self.position: StreamId = (0, 0)
        self.ready = asyncio.Event()


class RedisLink:
    """The connections to one Redis.

    :param source: a URL, or a client, which must not decode responses.
    :param block_time: seconds a read waits for something new.
    :param read_count: entries read at once.
    :param max_pending: commands that wait while Redis is away.
    :raises ValueError: for a client that decodes responses.
    """

    def __init__(self, source: str | Redis, *, block_time: float, read_count: int, max_pending: int) -> None:
        if not isinstance(source, str):
            settings = source.connection_pool.connection_kwargs
            if settings.get("decode_responses"):
                raise ValueError("the Redis client must give bytes: make it without decode_responses")
            timeout = settings.get("socket_timeout")
            if timeout is not None:
                block_time = min(block_time, timeout / 2)
        self._source = source
        self._block_time = block_time
        self._read_count = read_count
        self._max_pending = max_pending
        self._client: Redis | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._pending: deque[Command] = deque()
        self._wake = asyncio.Event()
        self._channels: dict[str, Callable[[bytes], None]] = {}
        self._subscribed: set[str] = set()
        self._subscription = asyncio.Event()
        self._pubsub: Any = None
        # The tasks whose connections are lost.
        self._ailing: set[str] = set()
        self._refused = False

    @property
    def down(self) -> bool:
        """Whether a connection is lost."""
        return bool(self._ailing)

    @property
    def running(self) -> bool:
        """Whether it was started."""
        return self._client is not None

    @property
    def client(self) -> Redis:
        """The client, for commands out of turn."""
        assert self._client is not None, "the link is not running"
        return self._client

    def start(self, streams: Iterable[Stream]) -> None:
        """Connect, read ``streams``, and go on so until :meth:`stop`."""
        if isinstance(self._source, str):
            # Whether a command may be sent twice is decided here, command by command.
            self._client = Redis.from_url(
                self._source, socket_timeout=2 * self._block_time, retry=Retry(NoBackoff(), 0)
            )
        else:
            self._client = self._source
        # Those of an earlier loop are of no use.
        self._wake = asyncio.Event()
        self._subscription = asyncio.Event()
        # Each pubsub object keeps track of its own connection and is read by one task.
        steps: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("commands", self._write),
            ("channels", self._listen),
        ]
        for stream in streams:
            stream.ready = asyncio.Event()
            steps.append((stream.task, partial(self._read, stream)))
        self._tasks = {asyncio.ensure_future(self._supervise(name, step)) for name, step in steps}

    async def stop(self) -> None:
        """Send what waits, if Redis is there, and disconnect."""
        client = self._client
        if client is None:
            return
        if self._pending and not self.down:
            try:
                await asyncio.wait_for(self.ask("PING"), 1.0)
            except _FAILURES:
                pass
        self._client = None
        tasks, self._tasks = self._tasks, set()
        while tasks:
            # A cancellation can be lost in a time limit that is over at the same moment.
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=1.0)
        pending, self._pending = self._pending, deque()
        for command in pending:
            command.postpone(ConnectionError("the link to Redis is closed"))
        self._ailing.clear()
        if isinstance(self._source, str):
            await client.aclose()

    # -- commands -----------------------------------------------------------------------------------------

    def send(self, command: Command) -> bool:
        """Have a command sent, after those before it. False if too many wait; it is dropped then."""
        if len(self._pending) >= self._max_pending:
            if not self._refused:
                self._refused = True
                logger.warning(
                    "Redis does not keep up or is away: what other servers were to be told is dropped "
                    "(option max_pending of the adapter is %d)",
                    self._max_pending,
                )
            return False
        self._pending.append(command)
        self._wake.set()
        return True

    async def ask(self, *words: Value) -> Any:
        """The reply to a command, sent after those before it.

        :raises RedisError: from Redis, or because it is away.
        """
        command = _Asked(words)
        if not self.running or not self.send(command):
            raise RedisConnectionError("no connection to Redis")
        return await command.future

    async def _write(self) -> None:
        pending = self._pending
        if "commands" in self._ailing and not pending:
            await self.client.ping()
            self._well("commands")
        await self._wake.wait()
        while pending:
            batch = [pending[at] for at in range(min(len(pending), _BATCH))]
            async with self.client.pipeline(transaction=False) as pipe:
                for command in batch:
                    pipe.execute_command(*command.words)
                replies = await pipe.execute(raise_on_error=False)
            self._well("commands")
            self._refused = False
            for command, reply in zip(batch, replies, strict=True):
                pending.popleft()
                _guard(command.settle, reply)
        self._wake.clear()

    def _postpone(self, error: Exception) -> None:
        """Redis is away: what can wait does. After another fault the batch does not: it may be the cause."""
        pending = self._pending
        if not isinstance(error, _FAILURES):
            for _ in range(min(len(pending), _BATCH)):
                _guard(pending.popleft().settle, error)
            return
        for _ in range(len(pending)):
            command = pending.popleft()
            if _guard(command.postpone, error):
                pending.append(command)

    # -- streams ------------------------------------------------------------------------------------------

    async def _read(self, stream: Stream) -> None:
        """Once, as much as there is, or wait a while for something."""
        if not stream.ready.is_set():
            stream.position = await self.newest(stream.name)
            self._well(stream.task)
            stream.ready.set()
        elif stream.task in self._ailing and stream.position > (0, 0):
            page = await self.range(stream.name, stream.position, 1)
            if not page or page[0][0] != stream.position:
                logger.warning(
                    "Redis (%s): what other servers sent meanwhile is lost, at least in part: the stream "
                    "does not go back to where it was read last (option max_len of the adapter)",
                    stream.task,
                )
        milliseconds = max(1, round(self._block_time * 1000))
        after = format_id(stream.position)
        reply: Any = await self.client.xread({stream.name: after}, self._read_count, milliseconds)
        self._well(stream.task)
        for id_, fields in _entries(reply):
            stream.position = parse_id(id_)
            _guard(stream.on_entry, stream.position, fields)

    async def newest(self, stream: str) -> StreamId:
        """The id of the last entry of a stream; ``(0, 0)`` if it has none.

        :raises RedisError: from Redis, or because it is away.
        """
        reply: Any = await self.client.xrevrange(stream, count=1)
        return parse_id(reply[0][0]) if reply else (0, 0)

    async def range(self, stream: str, start: StreamId, count: int) -> list[tuple[StreamId, Fields]]:
        """At most ``count`` entries of a stream, from ``start`` on, that one included.

        :raises RedisError: from Redis, or because it is away.
        """
        reply: Any = await self.client.xrange(stream, min=format_id(start), count=count)
        return [(parse_id(id_), fields) for id_, fields in reply]

    async def is_whole(self, stream: str) -> bool:
        """Whether a stream still has all the entries that were ever added; False where Redis cannot tell.

        :raises RedisError: from Redis, or because it is away.
        """
        if not await self.client.exists(stream):
            return True
        info: Any = await self.client.xinfo_stream(stream)
        return bool(info.get("entries-added") == info["length"])

    # -- channels -----------------------------------------------------------------------------------------

    async def subscribe(self, channels: Iterable[str], on_message: Callable[[bytes], None]) -> None:
        """Have ``on_message`` called with what is published on ``channels``; returns when that is so."""
        channels = list(channels)
        for channel in channels:
            self._channels[channel] = on_message
        if self._pubsub is not None:
            try:
                await self._pubsub.subscribe(*channels)
            except _FAILURES:
                pass  # the task that listens finds out, and subscribes to all
        while not self._subscribed.issuperset(channels):
            self._subscription.clear()
            await self._subscription.wait()

    async def unsubscribe(self, channels: Iterable[str]) -> None:
        """No longer."""
        channels = list(channels)
        for channel in channels:
            self._channels.pop(channel, None)
            self._subscribed.discard(channel)
        if self._pubsub is not None:
            try:
                await self._pubsub.unsubscribe(*channels)
            except _FAILURES:
                pass  # it is lost, and the next one subscribes to what is wanted

    async def _listen(self) -> None:
        self._subscribed.clear()
        pubsub = self.client.pubsub()
        try:
            # Connects, and has pings answered while there is no namespace.
            await pubsub.subscribe(_NO_CHANNEL)
            self._pubsub = pubsub
            if self._channels:
                await pubsub.subscribe(*self._channels)
            silent = False
            while True:
                message = await pubsub.get_message(timeout=self._block_time)
                if message is None:
                    if silent:
                        raise ConnectionError("Redis does not answer")
                    silent = True
                    await pubsub.ping()
                    continue
                silent = False
                self._take(message)
        finally:
            self._pubsub = None
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    def _take(self, message: dict[str, Any]) -> None:
        self._well("channels")
        channel = message["channel"]
        name = channel.decode() if isinstance(channel, bytes) else channel
        if message["type"] == "subscribe":
            self._subscribed.add(name)
            self._subscription.set()
        elif message["type"] == "message":
            on_message = self._channels.get(name)
            if on_message is not None:
                _guard(on_message, message["data"])

    # -- what goes wrong ----------------------------------------------------------------------------------

    async def _supervise(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat a step for ever; after a failure, with a pause."""
        pause, longest = _PAUSES
        while self.running:
            try:
                await step()
                pause = _PAUSES[0]
            except Exception as error:
                if name not in self._ailing:
                    # Nothing that Redis does has a traceback.
                    trace = None if isinstance(error, _FAILURES) else error
                    text = error or type(error).__name__
                    logger.warning("Redis (%s): %s; trying again", name, text, exc_info=trace)
                    pause = _PAUSES[0]
                self._ailing.add(name)
                if name == "commands":
                    self._postpone(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, longest)

    def _well(self, name: str) -> None:
        if name in self._ailing:
            self._ailing.discard(name)
            logger.warning("Redis (%s): connected again", name)


def _entries(reply: Any) -> Iterable[tuple[bytes, Fields]]:
    """The entries in the reply to a read of one stream, whichever protocol of Redis it came in."""
    if isinstance(reply, dict):
        for found in reply.values():
            # RESP3 has them in one more list.
            yield from found[0] if found and isinstance(found[0], list) else found
    elif reply:
        yield from reply[0][1]


def _guard(function: Callable[..., Any], *args: Any) -> Any:
    """Call what must not end the task that serves everybody."""
    try:
        return function(*args)
    except Exception:
        logger.exception("%r failed", function)
        return None


#: Subscribed to while there is no namespace.
_NO_CHANNEL = "fastsio"
