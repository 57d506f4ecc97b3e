"""Socket.IO and a FastAPI application on one port: python fastapi_app.py, then http://localhost:3000.

Needs fastapi and uvicorn. ``uvicorn fastapi_app:app`` serves it too, with uvicorn's own WebSockets.
"""

from __future__ import annotations

import os

import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

import fastsio

PAGE = """<!doctype html>
<title>votes</title>
<p><button onclick="socket.emit('vote')">vote</button> <b id="votes">?</b></p>
<script src="/socket.io/socket.io.js"></script>
<script>
  const socket = io();
  socket.on("votes", (count) => { document.getElementById("votes").textContent = count; });
</script>
"""

api = FastAPI()
io = fastsio.Server()
votes = 0


def vote() -> int:
    """Count a vote and tell everybody."""
    global votes
    votes += 1
    io.emit("votes", votes)
    return votes


@api.get("/")
def index() -> HTMLResponse:
    """The page."""
    return HTMLResponse(PAGE)


@api.post("/votes")
async def vote_by_http() -> int:
    """A vote of somebody without a socket."""
    return vote()


@io.on("connection")
def connection(socket: fastsio.Socket) -> None:
    """A page is there."""
    socket.emit("votes", votes)
    socket.on("vote", vote)


app = io.asgi(api)

if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "3000")), ws=io.uvicorn_protocol())
