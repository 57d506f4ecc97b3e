"""fastsio: python fastsio_server.py PORT."""

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


if __name__ == "__main__":
    io.run(port=int(sys.argv[1]), host="127.0.0.1")
