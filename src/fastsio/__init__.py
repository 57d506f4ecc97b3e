"""Socket.IO for Python: a compiled protocol engine under Node's event-emitter API."""
