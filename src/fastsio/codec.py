"""The wire formats on their own: Socket.IO packets, Engine.IO packets and polling payloads.

Pure functions and small state machines, without IO; the server and the clients are built on the same ones.
Malformed input raises ``fastsio.exceptions.PacketError`` and nothing else.

>>> from fastsio.codec import Decoder, Packet, PacketType, encode
>>> encode(Packet(PacketType.EVENT, data=["upload", b"\\x01"]))
['51-["upload",{"_placeholder":true,"num":0}]', b'\\x01']
>>> Decoder().add('2/admin,12["hi"]')
Packet(EVENT, namespace='/admin', data=['hi'], id=12)
"""

from fastsio._codec import Decoder, EncodedPacket, Packet, PacketType, encode
from fastsio._payload import decode_engine_packet, decode_payload, encode_engine_packet, encode_payload
from fastsio.parsers import JSONParser, PacketDecoder, PacketEncoder, Parser

__all__ = [
    "Decoder",
    "EncodedPacket",
    "JSONParser",
    "Packet",
    "PacketDecoder",
    "PacketEncoder",
    "PacketType",
    "Parser",
    "decode_engine_packet",
    "decode_payload",
    "encode",
    "encode_engine_packet",
    "encode_payload",
]
