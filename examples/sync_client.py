"""The blocking client: no event loop in sight.

Run it next to examples/minimal/server.py; URL names another server.
"""

import os

import fastsio


def main():
    with fastsio.SyncClient(os.environ.get("URL", "http://localhost:3000")) as client:
        print(f"connected as {client.id}", flush=True)
        client.emit("hey", {"from": "Python"})
        print("mirrored:", client.call("bytes", b"abc", timeout=5), flush=True)
        for _ in range(6):
            event, args = client.receive(timeout=5)
            print(event, *args, flush=True)


if __name__ == "__main__":
    main()
