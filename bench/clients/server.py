"""What the clients are measured against, on fastsio: python server.py PORT.

`kept` events carry two numbers, the sender's and their own; `report` tells how often each of them came.
"""

import sys
from collections import Counter

import fastsio

io = fastsio.Server()
kept: Counter[str] = Counter()


@io.on("connection")
def connection(socket):
    @socket.on("echo")
    def echo(data):
        socket.emit("echo", data)

    @socket.on("ack")
    def ack(data):
        return data

    @socket.on("kept")
    def on_kept(client, number):
        kept[f"{client} {number}"] += 1

    @socket.on("report")
    def report():
        return kept


if __name__ == "__main__":
    io.run(port=int(sys.argv[1]), host="127.0.0.1")
