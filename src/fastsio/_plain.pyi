# Other extensions call this one in C; it has nothing for Python.
__all__: list[str] = []
