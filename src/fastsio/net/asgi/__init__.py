"""fastsio inside an ASGI server, such as uvicorn, hypercorn or daphne."""
