"""fastsio: python fastsio_server.py PORT [asgi|uvicorn-protocol].

On its own listener; or under uvicorn, as an ASGI application or with its protocol for WebSockets.
"""

import sys

import fastsio

io = fastsio.Server()


@io.on("connection")
def connection(socket):
    @socket.on("echo")
    def echo(data):
        socket.emit("echo", data)

    @socket.on("ack")
    def ack(data):
        return data

    @socket.on("bin")
    def binary(data):
        socket.emit("bin", data)

    @socket.on("broadcast")
    def broadcast(data):
        io.emit("broadcast", data)


def main(port: int, stack: str = "") -> None:
    if not stack:
        io.run(port=port, host="127.0.0.1")
        return
    import uvicorn

    uvicorn.run(
        io.asgi(),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio" if stack == "asgi" else io.uvicorn_protocol(),
        backlog=2048,
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
