from typing import Final

#: What travels as an attachment.
BYTES_LIKE: Final[tuple[type, ...]]
