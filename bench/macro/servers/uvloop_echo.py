"""Floor: a uvloop protocol that writes back what it reads, nothing else. python uvloop_echo.py PORT."""

import asyncio
import sys

import uvloop


class Echo(asyncio.Protocol):
    __slots__ = ("write",)

    def connection_made(self, transport):
        self.write = transport.write

    def data_received(self, data):
        self.write(data)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
