"""A room that the admin UI watches.

Run it and open http://localhost:3000 in some tabs. The UI is at https://admin.socket.io; to have it here:

    npm pack @socket.io/admin-ui@0.5.1 && tar xzf socket.io-admin-ui-0.5.1.tgz
    ADMIN_UI=package/ui/dist python examples/admin.py    # and open http://localhost:3000/ui/

Server URL: http://localhost:3000, username: admin, password: changeit (ADMIN_PASSWORD sets another).
Needs the extra "admin". PORT moves it.
"""

import os
from pathlib import Path

import bcrypt

import fastsio
from fastsio.admin import instrument

files = {"/": Path(__file__).parent / "minimal" / "index.html"}
if "ADMIN_UI" in os.environ:
    files["/ui"] = os.environ["ADMIN_UI"]

# The UI sends credentials, for load balancers that want cookies.
cors = {"origin": "https://admin.socket.io", "credentials": True}
io = fastsio.Server(static_files=files, cors=cors)

password = os.environ.get("ADMIN_PASSWORD", "changeit")
hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt()).decode()
instrument(io, auth={"type": "basic", "username": "admin", "password": hashed})


@io.on("connection")
def connection(socket):
    socket.data["hellos"] = 0
    socket.join("lobby")

    @socket.on("hey")
    def hey(data):
        socket.data["hellos"] += 1
        socket.emit("hello", f"hello - {socket.data['hellos']}")

    @socket.on("bytes")
    def mirror(data):
        return data[::-1]


if __name__ == "__main__":
    io.run(port=int(os.environ.get("PORT", "3000")))
