"""A shared list: handlers in a module of their own, with types, and metrics.

Run it and open http://localhost:3000 in a few tabs. PORT moves it. Prometheus reads /metrics.
"""

import os
from pathlib import Path

import todos

import fastsio

io = fastsio.Server(
    static_files={"/": Path(__file__).with_name("index.html")}, metrics_path="/metrics", slow_handler=0.1
)
io.include(todos.router)


@io.on_startup
def startup():
    todos.todos.clear()


if __name__ == "__main__":
    io.run(port=int(os.environ.get("PORT", "3000")))
