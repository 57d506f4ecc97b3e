"""A page, a counter from the server, and bytes both ways.

Run it and open http://localhost:3000. PORT moves it.
"""

import asyncio
import os
from pathlib import Path

import fastsio

io = fastsio.Server(static_files={"/": Path(__file__).with_name("index.html")})


@io.on("connection")
async def connection(socket):
    print(f"{socket.id} connected", flush=True)

    @socket.on("hey")
    def hey(data):
        print("hey", data, flush=True)

    @socket.on("bytes")
    def mirror(data):
        # What a handler returns is the acknowledgement.
        return data[::-1]

    @socket.on("disconnect")
    def disconnect(reason):
        print(f"{socket.id} left: {reason}", flush=True)

    counter = 0
    while socket.connected:
        counter += 1
        socket.emit("hello", f"hello - {counter}")
        socket.emit("bytes", counter.to_bytes(4, "big"))
        await asyncio.sleep(1)


if __name__ == "__main__":
    io.run(port=int(os.environ.get("PORT", "3000")))
