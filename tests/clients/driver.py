"""Runs one scenario of the interop tests with a python-socketio client.

    python driver.py <sio-py-4|sio-py-5> <polling|websocket|upgrade> <scenario> <url> [arguments as JSON]

Run by the Python of the client's own environment under .cache/ (scripts/test-deps makes them): sio-py-4 is
python-socketio 4.6.1, which speaks protocol 4, sio-py-5 a current 5.x, which speaks protocol 5. Both through
the blocking Client. Output, exit status and the form without a scenario are those of driver.js.
"""

import json
import queue
import sys
import threading
import time
import traceback
from urllib.parse import urlencode

import socketio
from engineio import payload

WAIT = 5.0
BINARY_TEXT = "$bytes"

# The library refuses more packets than 16 in one polling payload, which any burst exceeds.
payload.Payload.max_decode_packets = 2000


def describe(value):
    """Replace bytes, so that a value can be printed as JSON."""
    if isinstance(value, bytes):
        return {BINARY_TEXT: value.hex()}
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {key: describe(item) for key, item in value.items()}
    return value


def same(actual, expected):
    if actual != expected:
        raise AssertionError(f"got {actual!r:.2000}, expected {expected!r:.2000}")


JSON_VALUES = [
    "hello", "", 0, 1, -1, 1.5, -1.5e-7, 1e21, 9007199254740991, True, False, None, [], {}, [[[]]],
    [1, [2, [3, {}]]],
    {"a": {"b": {"c": [None, "d"]}}, "": 1, 'key with "quotes"': "\\", "_placeholder": False, "num": 0},
]  # fmt: skip

STRINGS = [
    "é", "日本語", "😀", "𝕏 marks", "a\u0000b", "\u001e", "\u2028\u2029", "\u007f", "\n\r\t\b\f\"\\/", "\\n",
    "\ufeff", "\uffff", "\U0010ffff", "\ud83d", "a\udc00b",
]  # fmt: skip

EVENTS = [
    "connect", "connect_error", "disconnect", "welcome", "echo", "message", "answered", "said", "private",
]  # fmt: skip


class Peer:
    """One connection with its namespaces; what it receives waits in a queue per namespace and event."""

    def __init__(self, trial, namespaces, **settings):
        self.trial = trial
        self.namespaces = namespaces
        self.queues = {}
        self.client = socketio.Client(reconnection=False, **settings)
        self.client.reconnection_delay = 0.05
        self.client.randomization_factor = 0.1
        self._keep_order()
        for namespace in namespaces:
            for event in EVENTS:
                self.on(event, self._put(namespace, event), namespace)

    def _keep_order(self):
        """Handle messages one by one: the library starts a thread for each, which may overtake another."""
        trigger = self.client.eio._trigger_event
        self.client.eio._trigger_event = lambda *args, **options: trigger(
            *args, **dict(options, run_async=False)
        )

    def _put(self, namespace, event):
        box = self.queues.setdefault((namespace, event), queue.Queue())
        return lambda *args: box.put(args)

    def on(self, event, handler, namespace="/"):
        self.client.on(event, handler=handler, namespace=namespace)

    def open(self, query=None, auth=None):
        """Begin to connect; the namespaces may be accepted or refused later."""
        url = self.trial.url + "?" + urlencode(dict(query or {}, tag=self.trial.tag))
        others = [namespace for namespace in self.namespaces if namespace != "/"]
        options = (
            {"namespaces": others}
            if self.trial.protocol == 4
            else {"namespaces": self.namespaces, "wait": False}
        )
        if auth is not None:
            options["auth"] = auth
        if self.trial.mode != "upgrade":
            options["transports"] = [self.trial.mode]
        self.client.connect(url, **options)
        same(self.client.transport(), "polling" if self.trial.mode == "polling" else "websocket")
        return self

    def connect(self, **options):
        self.open(**options)
        for namespace in self.namespaces:
            self.next("connect", namespace)
            same(self.next("welcome", namespace), (namespace,))
        return self

    def next(self, event, namespace="/", wait=WAIT):
        try:
            return self.queues[namespace, event].get(timeout=wait)
        except queue.Empty:
            raise AssertionError(f"waited {wait} s for {event!r} in {namespace}") from None

    def reason(self, namespace="/", wait=WAIT):
        """The reason of the disconnection, which the client of protocol 4 does not tell."""
        reason = self.next("disconnect", namespace, wait)
        return reason[0] if reason else None

    def refusal(self, namespace):
        """How a namespace answered: the name of the event and its arguments."""
        end = time.time() + WAIT
        while time.time() < end:
            for event in ("connect", "connect_error"):
                if not self.queues[namespace, event].empty():
                    return [event, *self.queues[namespace, event].get()]
            time.sleep(0.005)
        raise AssertionError(f"no answer of {namespace}")

    def emit(self, event, *args, namespace="/", callback=None):
        self.client.emit(event, args, namespace=namespace, callback=callback)

    def call(self, event, *args, namespace="/"):
        """The arguments of the acknowledgement."""
        box = queue.Queue()
        self.emit(event, *args, namespace=namespace, callback=lambda *answer: box.put(answer))
        try:
            return box.get(timeout=WAIT)
        except queue.Empty:
            raise AssertionError(f"waited for the acknowledgement of {event!r}") from None

    def settle(self):
        """Wait until all is sent: the client forgets what is still in its queue when it disconnects."""
        end = time.time() + 1
        while (
            self.client.eio.queue is not None and self.client.eio.queue.unfinished_tasks and time.time() < end
        ):
            time.sleep(0.002)
        time.sleep(0.01)

    def close(self):
        self.client.reconnection = False
        if self.client.connected:
            self.settle()
        self.client.disconnect()


class Trial:
    """What one run of a scenario opens, so that it can be closed."""

    def __init__(self, client, mode, url, args):
        self.client = client
        self.protocol = 4 if client == "sio-py-4" else 5
        self.mode = mode
        self.url = url
        self.args = args
        self.tag = args.get("tag", "untagged")
        self.peers = []

    def peer(self, *namespaces, **settings):
        peer = Peer(self, list(namespaces or ["/"]), **settings)
        self.peers.append(peer)
        return peer

    def close(self):
        for peer in self.peers:
            peer.close()


def text(t):
    peer = t.peer().connect()
    for args in [(), ("one",), JSON_VALUES, *[(value,) for value in JSON_VALUES]]:
        peer.emit("echo", *args)
        same(list(peer.next("echo")), list(args))
    peer.client.send(("through send", 2))
    same(peer.next("message"), ("through send", 2))


def binary(t):
    peer = t.peer().connect()
    everything = bytes(range(256))
    deep = b"deep"
    for i in range(40):
        deep = [i, deep] if i % 2 else {"inner": deep}
    # The client of protocol 4 mistakes an empty attachment for none.
    empty = [] if t.protocol == 4 else [[b""]]
    for args in [
        *empty,
        [everything],
        [{"a": [everything, {"b": b"\x01"}], "text": "x"}],
        ["first", everything, None, {"same": [everything, everything]}, 7],
        [deep],
        [bytes([i]) for i in range(10)],
    ]:
        peer.emit("echo", *args)
        same(list(peer.next("echo")), args)
        same(peer.call("describe", args), (describe(args),))


def client_acks(t):
    peer = t.peer().connect()
    for args in [(), ("one",), (1, "two", {"three": [3]}), (None,), (b"\x01\x02",), ({"in": [b"\x03"]}, "x")]:
        same(peer.call("echo", *args), args)
    same(peer.call("empty ack"), ())
    answers = queue.Queue()
    sent = [(i, "text" if i % 10 else bytes([i])) for i in range(100)]
    for i, value in sent:
        peer.emit("echo", i, value, callback=lambda *args: answers.put(args))
    same([answers.get(timeout=WAIT) for _ in sent], sent)


def server_acks(t):
    """As in driver.js without the question that gets no answer: this client answers each."""
    peer = t.peer()
    peer.on("question", lambda *args: args)
    peer.on("empty question", lambda: None)
    peer.connect()

    def ask(style, event, *args):
        peer.emit("ask", style, 3000, event, *args)
        return describe(peer.next("answered"))

    return {
        "callback": [
            ask("callback", "question", "a", {"b": [1]}),
            ask("callback", "question", b"\x01\x02\x03"),
            ask("callback", "empty question"),
        ],
        "promise": [ask("promise", "question", b"\x01\x02\x03")],
    }


def namespaces(t):
    names = ["/", "/chat", "/dyn-101"]
    peer = t.peer(*names).connect()
    for name in names:
        same(peer.call("echo", name, namespace=name), (name,))
        same(peer.call("echo", name.encode(), namespace=name), (name.encode(),))
        peer.emit("say", {"from": "namespace"}, "private", name, namespace=name)
    for name in names:
        peer.call("echo", namespace=name)
        same(peer.next("private", name), (name,))
        assert peer.queues[name, "private"].empty()
    ids = [peer.call("whoami", namespace=name)[0]["id"] for name in names]
    same(len(set(ids)), 3)
    if t.protocol == 5:
        same([peer.client.get_sid(name) for name in names], ids)
        assert peer.client.eio.sid not in ids
        return {"ids": ["<own>" if len(own) == 20 else own for own in ids]}
    return {"ids": [own.replace(peer.client.eio.sid, "<sid>") for own in ids]}


def namespace_unknown(t):
    peer = t.peer("/", "/nowhere").open()
    answer = peer.refusal("/nowhere")
    peer.next("connect")
    same(peer.call("echo", "still here"), ("still here",))
    return answer


def middleware(t):
    """The client of protocol 4 has no query per namespace, so its token is in that of the connection."""
    token = {"token": t.args["token"]}
    peer = t.peer("/", "/guarded").open(**({"query": token} if t.protocol == 4 else {"auth": token}))
    answer = peer.refusal("/guarded")
    peer.next("connect")
    if answer[0] == "connect":
        same(peer.call("echo", "let in", namespace="/guarded"), ("let in",))
    same(peer.call("echo", "still here"), ("still here",))
    return answer


def handshake(t):
    value = "a b&c=d/é😀"
    auth = {} if t.protocol == 4 else {"auth": {"token": value, "n": 1}}
    peer = t.peer().connect(query={"token": value, "n": 1}, **auth)
    (who,) = peer.call("whoami")
    same(who["query"].pop("tag"), t.tag)
    return {key: who[key] for key in (["query"] if t.protocol == 4 else ["query", "auth"])}


def rooms(t):
    peers = {name: t.peer("/").connect() for name in "abc"}
    said = {}
    for name, room in [("a", "r1"), ("b", "r1"), ("b", "r2"), ("c", "r2"), ("c", "комната 🚪")]:
        peers[name].call("join", room)
    a = peers["a"]

    def say(label, **how):
        a.emit("say", how, "said", label, label.encode())
        a.call("echo")
        said[label] = []
        for name, peer in peers.items():
            peer.call("echo")
            box = peer.queues["/", "said"]
            while not box.empty():
                same(box.get(), (label, label.encode()))
                said[label].append(name)

    say("socket to r1", **{"from": "socket", "to": ["r1"]})
    say("namespace in r1", **{"from": "namespace", "in": ["r1"]})
    say("socket to r1 and r2", **{"from": "socket", "to": ["r1", "r2"]})
    say("broadcast", **{"from": "socket", "broadcast": True})
    say("namespace", **{"from": "namespace"})
    say("unicode room", **{"from": "namespace", "to": ["комната 🚪"]})
    peers["b"].call("leave", "r1")
    say("namespace to r1 without b", **{"from": "namespace", "to": ["r1"]})
    return said


def server_disconnect(t):
    peer = t.peer("/", "/chat").connect()
    peer.emit("kick", False, namespace="/chat")
    reason = peer.reason("/chat")
    same(peer.call("echo", "still here"), ("still here",))
    return reason


def server_disconnect_close(t):
    peer = t.peer("/", "/chat").connect()
    peer.emit("kick", True, namespace="/chat")
    return [peer.reason("/"), peer.reason("/chat")]


def client_disconnect(t):
    peer = t.peer().connect()
    peer.call("join", "room")
    peer.settle()
    peer.client.disconnect()
    assert not peer.client.connected
    # The client of protocol 4 raises no event for what its own application did.
    return None if t.protocol == 4 else peer.reason()


def server_engine_close(t):
    peer = t.peer("/", "/chat").connect()
    peer.emit("drop")
    return [peer.reason("/"), peer.reason("/chat")]


def reconnect(t):
    peer = t.peer()
    peer.client.reconnection = True
    peer.connect()
    before = peer.call("whoami")[0]["id"]
    peer.emit("drop")
    peer.next("disconnect")
    peer.next("connect", wait=2 * WAIT)
    same(peer.next("welcome"), ("/",))
    assert peer.call("whoami")[0]["id"] != before
    same(peer.call("echo", "back"), ("back",))


def heartbeat(t):
    """The beats cannot be counted here: the session must outlast the time after which one is missed."""
    peer = t.peer().connect()
    time.sleep(t.args["least"] / 1000)
    assert peer.queues["/", "disconnect"].empty()
    same(peer.call("echo", "alive"), ("alive",))


def idle(t):
    peer = t.peer().connect()
    emit_line({"event": "ready", "tag": t.tag})
    return peer.reason(wait=4 * WAIT)


def large(t):
    peer = t.peer().connect()
    for value in ["x" * 1_000_000, "é😀" * 80_000, bytes(range(250)) * 4000]:
        (answer,) = peer.call("echo", value)
        assert answer == value, "the large message changed"
        kind = "bytes" if isinstance(value, bytes) else "string"
        # JavaScript counts UTF-16 code units.
        length = len(value) if kind == "bytes" else len(value.encode("utf-16-le")) // 2
        same(peer.call("digest", value), ({"type": kind, "length": length},))


def over_limit(t):
    peer = t.peer().connect()
    same(peer.call("echo", "x" * (t.args["limit"] // 2)), ("x" * (t.args["limit"] // 2),))
    peer.emit("echo", "x" * (2 * t.args["limit"]))
    return peer.reason()


def unicode(t):
    peer = t.peer()
    peer.on("événement 😀", lambda value: value)
    peer.connect()
    for value in STRINGS:
        same(peer.call("echo", value, {value: [value]}), (value, {value: [value]}))
    peer.emit("ask", "promise", 3000, "événement 😀", "𝕏")
    same(peer.next("answered"), ("ok", "𝕏"))


def order(t):
    """A thousand messages each way, of which the server's begin as soon as the connection is there."""
    peer = t.peer()
    received = []
    done = threading.Event()

    def sequence(number, attachment=None):
        expected = bytes([number & 255, 255]) if number % 50 == 7 else None
        received.append((number, attachment == expected))
        if len(received) == 1000:
            done.set()

    peer.on("seq", sequence)
    peer.connect()
    peer.emit("flood", 1000)
    for number in range(1000):
        peer.emit("seq", number, *([bytes([number & 255, 255])] if number % 50 == 7 else []))
    assert done.wait(3 * WAIT), f"only {len(received)} messages came"
    same(peer.call("seq report"), ({"received": 1000, "in_order": True},))
    faults = [(place, got) for place, got in enumerate(received) if got != (place, True)]
    same((len(received), faults[:5]), (1000, []))


SCENARIOS = {
    function.__name__: function
    for function in (
        text, binary, client_acks, server_acks, namespaces, namespace_unknown, middleware, handshake, rooms,
        server_disconnect, server_disconnect_close, client_disconnect, server_engine_close, reconnect,
        heartbeat, idle, large, over_limit, unicode, order,
    )
}  # fmt: skip


def emit_line(line):
    print(json.dumps(line), flush=True)


def run(client, mode, scenario, url, args):
    trial = Trial(client, mode, url, args)
    try:
        result = SCENARIOS[scenario](trial)
        emit_line({"scenario": scenario, "tag": trial.tag, "ok": True, "result": describe(result)})
        return True
    except Exception:
        emit_line({"scenario": scenario, "tag": trial.tag, "ok": False, "error": traceback.format_exc()})
        return False
    finally:
        trial.close()


def main():
    client, mode, *request = sys.argv[1:]
    if request:
        scenario, url, *args = request
        return 0 if run(client, mode, scenario, url, json.loads(args[0]) if args else {}) else 1
    for line in sys.stdin:
        request = json.loads(line)
        run(client, mode, request["scenario"], request["url"], request["args"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
