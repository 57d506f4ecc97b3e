"""How bytes get in and out: the native HTTP and WebSocket listener, files, and the program's event loop."""
