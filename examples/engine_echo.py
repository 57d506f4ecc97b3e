"""Echo Engine.IO messages: the engine alone, without Socket.IO on top.

::

    PORT=3001 python examples/engine_echo.py
"""

import os

from fastsio.engine import EngineServer, Session

engine = EngineServer(cors="*")


@engine.on("connection")
def connection(session: Session) -> None:
    print(f"{session.id} connected over {session.transport}")
    session.on("message", session.send)
    session.on("upgrade", lambda transport: print(f"{session.id} upgraded to {transport}"))
    session.on("close", lambda reason: print(f"{session.id} closed: {reason}"))


if __name__ == "__main__":
    engine.run(port=int(os.environ.get("PORT", "3001")))
