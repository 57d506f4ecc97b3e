"""``fastsio connect``: a terminal client."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from fastsio.client import Client, Socket
from fastsio.exceptions import ConnectError, FastSIOError, OptionError

__all__ = ["connect"]

#: Exit statuses beside 0: no connection, wrong usage, Ctrl-C.
FAILED = 1
USAGE = 2
INTERRUPTED = 130

HELP = """\
EVENT [JSON ...]     send an event:            chat {"text":"hi"} 2
? EVENT [JSON ...]   and show the server's acknowledgement
["EVENT", ...]       the same as one JSON array
/join NAMESPACE      join a namespace; what is typed goes to the last one joined
/use NAMESPACE       send to a namespace already joined
/leave               leave the current namespace
/help, /quit
Bytes are written and shown as {"$bytes": "<base64>"}."""


def to_json(value: Any) -> Any:
    """A value as JSON has it, bytes as ``{"$bytes": base64}``."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return value


def from_json(value: Any) -> Any:
    """The reverse of :func:`to_json`. Raises ValueError for wrong base64."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if isinstance(value, dict):
        if value.keys() == {"$bytes"} and isinstance(value["$bytes"], str):
            return base64.b64decode(value["$bytes"], validate=True)
        return {key: from_json(item) for key, item in value.items()}
    return value


def parse_values(text: str) -> list[Any]:
    """JSON values behind one another. Raises ValueError."""
    decoder = json.JSONDecoder()
    values = []
    text = text.strip()
    while text:
        try:
            value, end = decoder.raw_decode(text)
        except ValueError:
            raise ValueError(f"not JSON: {text[:60]}") from None
        values.append(from_json(value))
        text = text[end:].lstrip()
    return values


def parse_event(line: str) -> tuple[str, list[Any]]:
    """``EVENT JSON ...`` or ``["EVENT", ...]`` as name and arguments. Raises ValueError."""
    if line.startswith("["):
        values = parse_values(line)
        if len(values) != 1 or not values[0] or not isinstance(values[0][0], str):
            raise ValueError("an event is an array that begins with its name")
        return values[0][0], values[0][1:]
    if line.startswith('"'):
        name, *values = parse_values(line)
        return name, values
    name, _, rest = line.partition(" ")
    return name, parse_values(rest)


class _Output:
    """Prints what happens: for people, or one JSON object per line."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(highlight=False, soft_wrap=True)

    def say(self, kind: str, namespace: str, text: str, style: str, **fields: Any) -> None:
        if self._as_json:
            record = {"type": kind, "namespace": namespace, **fields}
            sys.stdout.write(json.dumps(to_json(record), ensure_ascii=True) + "\n")
            sys.stdout.flush()
            return
        line = Text.assemble((f"{datetime.now():%H:%M:%S} ", "dim"), (f"{namespace} ", "cyan"), (text, style))
        for value in fields.get("args", ()):
            shown = to_json(value) if not callable(value) else "<ack>"
            line.append(" " + json.dumps(shown, ensure_ascii=False))
        self._console.print(line)

    def help(self) -> None:
        if not self._as_json:
            self._console.print(Text(HELP, style="dim"))

    def complain(self, message: str) -> None:
        if self._as_json:
            self.say("error", "", message, "", message=message)
        else:
            self._console.print(Text(message, style="red"))


class _Terminal:
    """The client between the lines typed and the lines shown."""

    def __init__(self, client: Client, output: _Output, seconds: float | None) -> None:
        self._client = client
        self._output = output
        self._current: Socket = client
        self._seconds = seconds
        self._asked: set[asyncio.Task[None]] = set()
        self._watched: set[str] = set()
        self.watch(client)
        manager = client.manager
        manager.on("reconnect_attempt", lambda number: self._tell("reconnect_attempt", f"attempt {number}"))
        manager.on("reconnect_failed", lambda: self._tell("reconnect_failed", "given up"))

    def _tell(self, kind: str, text: str) -> None:
        self._output.say(kind, self._client.nsp, text, "yellow")

    def watch(self, socket: Socket) -> None:
        """Show what happens in a namespace."""
        if socket.nsp in self._watched:
            return
        self._watched.add(socket.nsp)
        say, namespace = self._output.say, socket.nsp

        def event(name: str, *args: Any) -> None:
            ack = args[-1] if args and callable(args[-1]) else None
            shown = [value for value in args if value is not ack]
            fields = {} if ack is None else {"ack": True}
            say("event", namespace, name, "bold green", event=name, args=shown, **fields)

        def connect() -> None:
            recovered = ", recovered" if socket.recovered else ""
            say("connect", namespace, f"connected as {socket.id}{recovered}", "green", id=socket.id)

        def disconnect(reason: str, error: Exception | None) -> None:
            detail = f" ({error})" if error is not None else ""
            say("disconnect", namespace, f"disconnected: {reason}{detail}", "yellow", reason=str(reason))

        def failed(error: Exception) -> None:
            data = getattr(error, "data", None)
            say("connect_error", namespace, f"{error}", "red", message=str(error), data=data)

        socket.on_any(event)
        socket.on("connect", connect)
        socket.on("disconnect", disconnect)
        socket.on("connect_error", failed)

    async def run(self, namespaces: tuple[str, ...], lines: asyncio.Queue[str | None], retry: bool) -> int:
        """Connect, then do what the lines say; the exit status."""
        for namespace in namespaces:
            self.watch(self._client.of(namespace))
        try:
            await self._client.connect(retry=retry)
        except ConnectError as error:
            self._output.complain(str(error))
            if not any(socket.connected for socket in self._client.manager.nsps.values()):
                return FAILED
        while (line := await lines.get()) is not None:
            if line.strip() == "/quit":
                break
            try:
                await self._do(line.strip())
            except (ValueError, TypeError, FastSIOError) as error:
                self._output.complain(str(error))
        if self._asked:
            await asyncio.wait(self._asked)
        if self._seconds:
            await asyncio.sleep(self._seconds)
        return 0

    async def _do(self, line: str) -> None:
        command, _, rest = line.partition(" ")
        rest = rest.strip()
        if not line:
            return
        if command == "/help":
            self._output.help()
        elif command in ("/join", "/use"):
            if not rest.startswith("/"):
                raise ValueError(f"{command} takes a namespace such as /chat")
            socket = self._client.of(rest)
            self.watch(socket)
            if command == "/join":
                await socket.connect()
            self._current = socket
        elif command == "/leave":
            self._current.disconnect()
        elif line.startswith("{"):
            self._send_record(json.loads(line))
        elif line.startswith("?"):
            self._ask(self._current, *parse_event(line[1:].strip()))
        elif line.startswith("/"):
            raise ValueError(f"no command {command}; /help lists them")
        else:
            name, args = parse_event(line)
            self._current.emit(name, *args)

    def _send_record(self, record: Any) -> None:
        """An event as programs write it: ``{"event": …, "args": […], "namespace": …, "ack": true}``."""
        name, args = record.get("event"), record.get("args", [])
        if not isinstance(name, str) or not isinstance(args, list):
            raise ValueError('an event is {"event": name, "args": [...]}')
        socket = self._client.of(record["namespace"]) if "namespace" in record else self._current
        self.watch(socket)
        if record.get("ack"):
            self._ask(socket, name, from_json(args))
        else:
            socket.emit(name, *from_json(args))

    def _ask(self, socket: Socket, name: str, args: list[Any]) -> None:
        task = asyncio.get_running_loop().create_task(self._await_answer(socket, name, args))
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def _await_answer(self, socket: Socket, name: str, args: list[Any]) -> None:
        try:
            answer = await socket.timeout(self._client.manager.options.ack_timeout or 10).emit_with_ack(
                name, *args
            )
        except (FastSIOError, ValueError) as error:
            self._output.complain(f"{name}: {error}")
            return
        values = list(answer) if isinstance(answer, tuple) else [] if answer is None else [answer]
        self._output.say("ack", socket.nsp, f"ack of {name}", "magenta", event=name, args=values)


def read_lines(put: Callable[[str | None], None]) -> None:
    """Hand over the lines of standard input, then None."""
    for line in sys.stdin:
        put(line)
    put(None)


async def converse(client: Client, terminal: _Terminal, namespaces: tuple[str, ...], retry: bool) -> int:
    """Run a terminal over standard input; the exit status."""
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def put(line: str | None) -> None:
        try:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        except RuntimeError:
            pass  # the loop is over, by /quit or Ctrl-C

    # A thread nobody waits for: a terminal's read cannot be cancelled.
    threading.Thread(target=read_lines, args=(put,), daemon=True).start()
    try:
        return await terminal.run(namespaces, lines, retry)
    finally:
        await client.close()


@click.command()
@click.argument("url")
@click.option("-n", "--namespace", multiple=True, help="Join this namespace too; may be repeated.")
@click.option("--auth", help="JSON object that CONNECT carries.")
@click.option("--query", help="Query string of the connection.")
@click.option("-H", "--header", multiple=True, help="'Name: value', added to every request.")
@click.option("--path", default="/socket.io", show_default=True, help="Path of the endpoint.")
@click.option(
    "--transport",
    type=click.Choice(["upgrade", "websocket", "polling"]),
    default="upgrade",
    show_default=True,
    help="How to connect.",
)
@click.option("--protocol", type=click.Choice(["4", "3"]), default="4", help="3 for servers of v2.")
@click.option("--timeout", type=float, default=20.0, show_default=True, help="Seconds to connect.")
@click.option(
    "--ack-timeout", type=float, default=10.0, show_default=True, help="Seconds to wait for an ack."
)
@click.option("--wait", type=float, help="Seconds to go on listening after the end of the input.")
@click.option("--retry", is_flag=True, help="Keep trying when the first attempt fails.")
@click.option("--no-reconnect", is_flag=True, help="Do not connect again after the connection is lost.")
@click.option("--insecure", is_flag=True, help="Do not verify the server's certificate.")
@click.option("--proxy", help="URL of an HTTP or SOCKS proxy.")
@click.option("--unix-socket", help="Path of a Unix socket to connect to.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, for pipes.")
def connect(
    url: str,
    namespace: tuple[str, ...],
    auth: str | None,
    query: str | None,
    header: tuple[str, ...],
    path: str,
    transport: str,
    protocol: str,
    timeout: float,
    ack_timeout: float,
    wait: float | None,
    retry: bool,
    no_reconnect: bool,
    insecure: bool,
    proxy: str | None,
    unix_socket: str | None,
    as_json: bool,
) -> None:
    """Connect to the Socket.IO server at URL, show what it sends, and send what is typed.

    \b
    chat {"text":"hi"} 2     sends the event "chat" with two arguments
    ? sum 1 2                sends "sum" and shows the acknowledgement
    /join /admin             joins a namespace; /help lists the rest
    """
    output = _Output(as_json)
    try:
        client = Client(
            url,
            auth=_parse_auth(auth),
            query=query,
            extra_headers=dict(_parse_header(value) for value in header),
            path=path,
            transports=["polling", "websocket"] if transport == "upgrade" else [transport],
            protocol=int(protocol),
            timeout=timeout,
            ack_timeout=ack_timeout,
            reconnection=not no_reconnect,
            ssl=False if insecure else None,
            proxy=proxy,
            unix_socket=unix_socket,
            auto_connect=False,
        )
    except OptionError as error:
        raise click.UsageError(str(error)) from None
    try:
        status = asyncio.run(converse(client, _Terminal(client, output, wait), namespace, retry))
    except KeyboardInterrupt:
        status = INTERRUPTED
    sys.exit(status)


def _parse_auth(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise OptionError(f"--auth is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise OptionError("--auth takes a JSON object")
    return value


def _parse_header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise OptionError(f"--header {text!r} is not of the form 'Name: value'")
    return name.strip(), value.strip()
