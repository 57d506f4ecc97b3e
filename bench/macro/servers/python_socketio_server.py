"""python-socketio 5: python python_socketio_server.py PORT STACK.

STACK is aiohttp, websockets-sansio, websockets, wsproto or fastsio.
The three behind aiohttp are uvicorn's WebSocket implementations. uvloop everywhere, httptools under uvicorn.
The last is fastsio with python-socketio's interface, on its own listener.
"""

import importlib
import sys


def make(mode: str, library: str = "socketio"):
    sio = importlib.import_module(library).AsyncServer(async_mode=mode)

    @sio.event
    async def echo(sid, data):
        await sio.emit("echo", data, to=sid)

    @sio.event
    async def ack(sid, data):
        return data

    @sio.on("bin")
    async def binary(sid, data):
        await sio.emit("bin", data, to=sid)

    @sio.event
    async def broadcast(sid, data):
        await sio.emit("broadcast", data)

    return sio


def main(port: int, stack: str) -> None:
    if stack == "aiohttp":
        import asyncio

        import uvloop
        from aiohttp import web

        app = web.Application()
        make("aiohttp").attach(app)
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        # aiohttp's default backlog of 128 refuses part of a connection burst.
        web.run_app(app, host="127.0.0.1", port=port, backlog=2048, access_log=None, print=None)
    elif stack == "fastsio":
        make("asgi", "fastsio.compat.socketio").io.run(port=port, host="127.0.0.1")
    else:
        import socketio
        import uvicorn

        uvicorn.run(
            socketio.ASGIApp(make("asgi")),
            host="127.0.0.1",
            port=port,
            loop="uvloop",
            http="httptools",
            ws=stack,
            backlog=2048,
            log_level="warning",
            access_log=False,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
