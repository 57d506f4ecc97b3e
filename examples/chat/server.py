"""A chat with rooms.

Run it and open http://localhost:3000 in a few tabs. PORT moves it.
"""

import os
import time
from collections import defaultdict, deque
from pathlib import Path

import fastsio

HISTORY = 50

io = fastsio.Server(static_files={"/": Path(__file__).with_name("index.html")})
# Room: who came, who went, what was said; the newest last. Gone with the room's last member.
history = defaultdict(lambda: deque(maxlen=HISTORY))


def tell(room, kind, name, text=""):
    """Keep a line in the room's history and show it to everyone in the room."""
    line = {"kind": kind, "name": name, "text": text, "time": time.time()}
    history[room].append(line)
    io.to(room).emit("line", line)


def members(room):
    """The names of those in the room, sorted."""
    sids = io.sockets.adapter.rooms.get(room, ())
    return sorted(io.sockets.sockets[sid].data["name"] for sid in sids)


def leave(socket):
    """Take the socket out of the room it is in, if any."""
    room = socket.data.pop("room", None)
    if room is None:
        return
    socket.leave(room)
    if left := members(room):
        tell(room, "left", socket.data["name"])
        io.to(room).emit("members", left)
    else:
        history.pop(room, None)


def clean(text, limit):
    """What a client sent as text, trimmed; nothing if it is no text."""
    return text.strip()[:limit] if isinstance(text, str) else ""


@io.on("connection")
def connection(socket):
    @socket.on("join")
    def join(name, room):
        name, room = clean(name, 30), clean(room, 30)
        if not name or not room:
            return {"error": "A name and a room, please."}
        leave(socket)
        # A prefix keeps rooms apart from socket ids, which are rooms too.
        socket.data.update(name=name, room="chat:" + room)
        room = socket.data["room"]
        earlier = list(history[room])
        socket.join(room)
        tell(room, "joined", name)
        io.to(room).emit("members", members(room))
        return {"history": earlier}

    @socket.on("say")
    def say(text):
        text = clean(text, 1000)
        if text and "room" in socket.data:
            tell(socket.data["room"], "said", socket.data["name"], text)

    @socket.on("disconnecting")
    def disconnecting():
        leave(socket)


if __name__ == "__main__":
    io.run(port=int(os.environ.get("PORT", "3000")))
