"""Connections that several clients share, as the sockets of Node's ``io()`` do."""

from __future__ import annotations

import asyncio
from typing import TypeAlias
from weakref import WeakKeyDictionary, WeakValueDictionary

from fastsio.client.address import Address
from fastsio.client.manager import Manager
from fastsio.client.options import ClientOptions

__all__ = ["manager_for"]

_Shared: TypeAlias = "WeakValueDictionary[tuple[str, str, str], Manager]"

# By loop, since a connection cannot be used from another; kept only as long as a client has it.
_managers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared] = WeakKeyDictionary()


def manager_for(address: Address, options: ClientOptions) -> Manager:
    """The connection of a new client: another client's if that can be shared, else one of its own.

    It can be shared with a client that was made inside the same running loop for another namespace of the
    same address, with options that make the same connection.
    """
    if options.force_new or not options.multiplex:
        return Manager(address, options)
    try:
        shared = _managers.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    except RuntimeError:
        return Manager(address, options)
    key = (address.url, address.query, options.path)
    known = shared.get(key)
    if known is None:
        known = shared[key] = Manager(address, options)
        return known
    if address.namespace in known.nsps or not known.options.same_connection(options):
        return Manager(address, options)
    return known
