"""A client of the chat and of the minimal example: prints what comes, asks once, says good-bye.

Run it next to examples/minimal/server.py; URL names another server.
"""

import asyncio
import os

import fastsio


async def main():
    client = fastsio.Client(os.environ.get("URL", "http://localhost:3000"), auto_connect=False)

    @client.on("connect")
    def connect():
        print(f"connected as {client.id}", flush=True)

    @client.on("disconnect")
    def disconnect(reason, error):
        print(f"disconnected: {reason}", error or "", flush=True)

    @client.on("connect_error")
    def connect_error(error):
        print(f"not connected: {error}", flush=True)

    client.manager.on("reconnect_attempt", lambda number: print(f"attempt {number}", flush=True))

    events = client.events()
    async with client:
        client.emit("hey", {"from": "Python"})
        print("mirrored:", await client.timeout(5).emit_with_ack("bytes", b"abc"), flush=True)
        count = 0
        async for event, args in events:
            print(event, *args, flush=True)
            count += 1
            if count == 6:
                break


if __name__ == "__main__":
    asyncio.run(main())
