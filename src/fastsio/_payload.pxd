# cython: language_level=3
"""Packets for compiled callers that have checked type and protocol themselves."""

# encode_engine_packet: type 0-6, data text, bytes-like or None, protocol 3 or 4.
cdef object engine_packet(int type_, object data, int protocol, bint binary)
# decode_engine_packet of a text message.
cdef tuple parse_text(str text, int protocol)

cpdef bytes encode_payload(packets, int protocol=*, bint binary=*)
cpdef list decode_payload(body, int protocol=*, bint binary=*, Py_ssize_t max_packets=*)
