"""The protocol of the admin UI, spoken by the official client to fastsio and to the reference.

What is expected is what socket.io 4.8 with ``@socket.io/admin-ui`` does.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.interop.harness import MODES, Client, Drivers, ScenarioServer, Servers

pytestmark = pytest.mark.interop

AUTH = {"username": "admin", "password": "changeit"}
#: Of "changeit", made by bcryptjs.
HASH = "$2a$04$are7yZ71diScm.0Mu.ajl.x5nBrQq8Bt6xctfbp4Z.Ned4Zcu3dz2"
BASIC = {"type": "basic", "username": "admin", "password": HASH}

COMMANDS = ["EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT"]

each_server = pytest.mark.parametrize("implementation", ["fastsio", "sio-server-4"])
each_mode = pytest.mark.parametrize("mode", MODES)


def admin_server(servers: Servers, implementation: str, **options: Any) -> ScenarioServer:
    return servers.get(implementation, admin={"auth": BASIC, "server_id": "node 1", **options})


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
@pytest.mark.parametrize("name", ["sio-client-3", "sio-client-4"])
@each_server
def test_login(
    implementation: str, name: str, prefix: str, servers: Servers, drivers: Drivers, tag: str
) -> None:
    server = admin_server(servers, implementation, auth={**BASIC, "password": prefix + HASH[4:]})
    result = drivers.run(Client(name, "upgrade"), "admin_login", server, {"auth": AUTH, "tag": tag})
    refusal = {"message": "invalid credentials", "data": None}
    assert result == {"refusals": [refusal] * 5, "id": True, "again": 0}


def stats(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "keys": [
            "aggregatedEvents",
            "clientsCount",
            "hostname",
            "namespaces",
            "pid",
            "pollingClientsCount",
            "serverId",
            "uptime",
        ],
        "about": ["node 1", "string", "number", "number"],
        "clients": True,
        "polling": True,
        "namespaces": ["/", "/admin", "/chat", "/guarded"],
        "admins": 1,
    }


TRAFFIC = ["bytesIn", "bytesOut", "packetsIn", "packetsOut", "rawConnection", "rawDisconnection"]


@each_server
@each_mode
def test_development(mode: str, implementation: str, servers: Servers, drivers: Drivers, tag: str) -> None:
    client = Client("sio-client-4", mode)
    server = admin_server(servers, implementation, mode="development")
    found = drivers.run(client, "admin", server, {"auth": AUTH, "tag": tag})
    assert found["features"] == [*COMMANDS, "AGGREGATED_EVENTS", "ALL_EVENTS"]
    assert found["stats"] == stats(found)
    assert found["socket"] == {
        "keys": ["clientId", "data", "handshake", "id", "nsp", "rooms", "transport"],
        "handshake": ["address", "headers", "issued", "query", "secure", "time", "url", "xdomain"],
        "types": ["boolean", "boolean", "number", "object", "object", "string", "string", "string"],
        "tag": True,
        "issued": True,
        "client": True,
        "transport": client.transport,
        "rooms": ["<id>"],
        "nsp": "/",
        "data": {},
    }
    assert found["admin"] == [True]
    assert found["commands"] == {
        "greeted": [1, {"two": [2]}],
        "rooms": ["<id>", "everyone in room", "vip"],
        "reason": "io server disconnect",
    }
    events = found["events"]
    assert events == {
        "connected": [True, 1, True],
        "updated": [["/", "websocket"]] if mode == "upgrade" else [],
        "received": [
            ["/", "<id>", ["join", "room"]],
            ["/", "<id>", ["echo", "é", [1, None]]],
            ["/", "<id>", ["echo", {"$bytes": "0102"}]],
            ["/", "<id>", ["whoami"]],
        ],
        "sent": [
            ["/", "<id>", ["welcome", "/"]],
            ["/", "<id>", ["hello", 1, {"two": [2]}]],
            ["/", "<id>", ["echo", {"$bytes": "0102"}]],
        ],
        "joined": [["/", room, "<id>"] for room in ("<id>", "room", "vip", "everyone in room")],
        "left": [["/", room, "<id>"] for room in ("<id>", "everyone in room", "room", "vip")],
        "disconnected": [["/", "<id>", "server namespace disconnect"]],
        "own": 0,
    }
    assert found["counted"] == TRAFFIC and found["count"]


@each_server
def test_production(implementation: str, servers: Servers, drivers: Drivers, tag: str) -> None:
    server = admin_server(servers, implementation, mode="production")
    found = drivers.run(Client("sio-client-4", "upgrade"), "admin", server, {"auth": AUTH, "tag": tag})
    assert found["features"] == [*COMMANDS, "AGGREGATED_EVENTS"]
    assert found["stats"] == stats(found)
    assert found["commands"] == {
        "greeted": [1, {"two": [2]}],
        "rooms": ["<id>", "everyone in room", "vip"],
        "reason": "io server disconnect",
    }
    assert found["names"] == ["config", "server_stats", "session"]
    assert found["counted"] == TRAFFIC and found["count"]


@each_server
@pytest.mark.parametrize("mode", ["development", "production"])
def test_readonly(mode: str, implementation: str, servers: Servers, drivers: Drivers, tag: str) -> None:
    server = admin_server(servers, implementation, mode=mode, readonly=True)
    args = {"auth": AUTH, "readonly": True, "tag": tag}
    found = drivers.run(Client("sio-client-4", "websocket"), "admin", server, args)
    events = ["ALL_EVENTS"] if mode == "development" else []
    assert found["features"] == ["AGGREGATED_EVENTS", *events]
    assert found["commands"] == {"greeted": None, "rooms": ["<id>", "room"]}


@each_server
def test_open_to_everybody(implementation: str, servers: Servers, drivers: Drivers, tag: str) -> None:
    server = admin_server(servers, implementation, auth=False, mode="production")
    found = drivers.run(Client("sio-client-4", "websocket"), "admin", server, {"auth": {}, "tag": tag})
    assert found["names"] == ["config", "server_stats"]
