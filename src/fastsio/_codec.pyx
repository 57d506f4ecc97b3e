# cython: language_level=3, freethreading_compatible=True
"""Socket.IO packets of protocols 4 (v2 clients) and 5 (v3 and v4 clients).

A packet is ``<type> [<attachments> "-"] [<namespace> ","] [<ack id>] [<JSON>]`` in one text message,
followed by its binary attachments in messages of their own.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8, PyUnicode_GET_LENGTH
from libc.string cimport memchr, memcpy

from fastsio._digits cimport digit_count, write_digits
from fastsio._frames cimport frame_header_size, write_frame_header
from fastsio._json cimport Attachments, dump, load, load_with
from fastsio._plain cimport PLAIN_LIMIT, dump_plain

from enum import IntEnum

from fastsio._json import BYTES_LIKE
from fastsio.exceptions import PacketError, PayloadTooLarge, TooManyAttachments


class PacketType(IntEnum):
    """The type digit of a packet; number 4 is called ERROR in protocol 4."""

    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6
    ERROR = 4


# The same numbers for C, where a switch over them costs nothing.
cdef enum:
    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6

cdef enum:
    OP_TEXT = 1
    OP_BINARY = 2
    # 2^53 - 1, the largest ack id JavaScript counts to, has 16 digits.
    MAX_DIGITS = 16

cdef tuple _TYPES = tuple(PacketType(number) for number in range(7))
cdef str _ROOT = "/"
cdef frozenset _RESERVED = frozenset(
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]
)
# A bit for each length that one of them has: it tells them from most names, without a hash.
cdef unsigned int _RESERVED_LENGTHS = sum({1 << len(name) for name in _RESERVED})


cpdef bint is_reserved(object event) except -1:
    """Whether the event name, a ``str``, belongs to the library.

    Nobody emits such an event, and a peer may not fire what Node's own sockets emit locally (parser 4.2.4).
    """
    cdef Py_ssize_t size = PyUnicode_GET_LENGTH(event)
    return size < 32 and _RESERVED_LENGTHS >> size & 1 and event in _RESERVED


# ------------------------------------------------------------------------------------ packets


@cython.final
@cython.freelist(64)
cdef class Packet:
    """One Socket.IO packet: ``Packet(type, namespace="/", data=None, id=None)``.

    ``data`` is what the JSON part stands for: ``[event, *args]`` of an event, the arguments of an ack, the
    auth or the sid of a connect, the error of a connect error. ``data=None`` means that there is none. ``id``
    is the ack id, ``None`` without one. Raises PacketError for a type that does not exist.
    """

    def __init__(self, object type, object namespace="/", object data=None, object id=None):
        if not isinstance(namespace, str):
            raise PacketError(f"a namespace is a str, not {namespace!r}")
        self.type = type
        self.namespace = str.__str__(namespace)
        self.data = data
        self.id = id

    @property
    def type(self):
        """What kind of packet it is."""
        return _TYPES[self.kind]

    @type.setter
    def type(self, object value):
        if value not in _TYPES:
            raise PacketError(f"no packet type {value!r}")
        self.kind = value

    @property
    def attachments(self):
        """The binary messages a decoded packet came with, in wire order; they are in ``data`` already."""
        if self._attachments is None:
            self._attachments = []
        return self._attachments

    def __eq__(self, object other):
        if not isinstance(other, Packet):
            return NotImplemented
        cdef Packet that = <Packet>other
        return (
            self.kind == that.kind
            and self.namespace == that.namespace
            and self.id == that.id
            and self.data == that.data
            and self.attachments == that.attachments
        )

    __hash__ = None

    def __repr__(self):
        return f"Packet({self.type.name}, namespace={self.namespace!r}, data={self.data!r}, id={self.id!r})"


@cython.final
@cython.freelist(64)
@cython.no_gc  # holds bytes, and lists and tuples of bytes and str that it made itself: no cycles
cdef class EncodedPacket:
    """A packet in its wire forms, encoded once for any number of recipients.

    Made by ``encode_event`` and its like, and by ``encoded_messages``. Immutable: what it returns is shared.
    """

    def __cinit__(self):
        self.attachments = ()

    def __init__(self):
        raise TypeError("EncodedPacket is made by encode_event, encode_ack and encode_packet")

    def __reduce__(self):
        raise TypeError("EncodedPacket cannot be pickled")

    def __repr__(self):
        return f"<EncodedPacket {self.text_bytes()!r} attachments={len(self.attachments)}>"

    @property
    def text(self):
        """The text message in UTF-8, without Engine.IO's packet type in front; empty without one, and without
        ``text_first``."""
        return self.text_bytes()

    @property
    def text_first(self):
        """Whether the packet is at most one text message, and then its attachments. What a parser made may be
        anything else: ``messages`` has it in order."""
        return self._offset >= 0

    @property
    def size(self):
        """Bytes of the packet on the wire: a WebSocket frame with the text, and the attachments."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self._frame)
        cdef bytes attachment
        for attachment in self.attachments:
            size += PyBytes_GET_SIZE(attachment)
        return size

    cpdef bytes frames(self, int protocol):
        """All messages of the packet as unmasked WebSocket frames, one after the other.

        ``protocol`` is the Engine.IO protocol, 3 or 4: binary frames of protocol 3 begin with the packet
        type. Raises ValueError for another protocol.
        """
        if protocol != 3 and protocol != 4:
            raise ValueError(f"no Engine.IO protocol {protocol}")
        if not self.attachments:
            return self._frame
        cdef bytes frames
        with cython.critical_section(self):
            frames = self._frames3 if protocol == 3 else self._frames4
            if frames is None:
                frames = self._build_frames(protocol)
                if protocol == 3:
                    self._frames3 = frames
                else:
                    self._frames4 = frames
        return frames

    cpdef list messages(self):
        """The messages as Engine.IO packets ``[(4, text), (4, attachment), ...]``; leave the list alone."""
        cdef list messages
        with cython.critical_section(self):
            messages = self._messages
            if messages is None:
                messages = [(4, self._frame[self._offset:].decode())]
                messages += [(4, attachment) for attachment in self.attachments]
                self._messages = messages
        return messages

    cdef bytes text_bytes(self):
        cdef bytes text
        with cython.critical_section(self):
            text = self._text
            if text is None:
                text = self._frame[self._offset:] if self._offset >= 0 else b""
                self._text = text
        return text

    cdef bytes _build_frames(self, int protocol):
        """The text frame and one binary frame per attachment, in one allocation."""
        cdef Py_ssize_t prefix = 1 if protocol == 3 else 0
        cdef Py_ssize_t text_size = PyBytes_GET_SIZE(self._frame)
        cdef Py_ssize_t total = text_size
        cdef Py_ssize_t size
        cdef bytes attachment
        for attachment in self.attachments:
            size = PyBytes_GET_SIZE(attachment) + prefix
            total += frame_header_size(size) + size
        cdef bytes result = PyBytes_FromStringAndSize(NULL, total)
        cdef char* out = PyBytes_AS_STRING(result)
        memcpy(out, PyBytes_AS_STRING(self._frame), text_size)
        out += text_size
        for attachment in self.attachments:
            size = PyBytes_GET_SIZE(attachment)
            out += write_frame_header(<unsigned char*>out, OP_BINARY, size + prefix, True)
            if prefix:
                out[0] = 4
                out += 1
            memcpy(out, PyBytes_AS_STRING(attachment), size)
            out += size
        return result


# ----------------------------------------------------------------------------------- encoding


cdef EncodedPacket _assemble(
    int type,
    bint binary,
    object namespace,
    object id,
    const char* payload,
    Py_ssize_t payload_size,
    list attachments,
):
    """Header and JSON behind Engine.IO's packet type and a WebSocket header, in one allocation."""
    cdef const char* name = NULL
    cdef Py_ssize_t name_size = 0
    cdef Py_ssize_t count = 0 if attachments is None else PyList_GET_SIZE(attachments)
    cdef bytes long_number = None
    cdef long long small = 0
    cdef int overflow = 0
    cdef Py_ssize_t size = 2

    if namespace is not _ROOT:
        if not isinstance(namespace, str):
            raise PacketError(f"a namespace is a str, not {namespace!r}")
        try:
            name = PyUnicode_AsUTF8AndSize(namespace, &name_size)
        except UnicodeEncodeError as error:
            raise PacketError("the namespace is not encodable") from error
        if name_size == 0 or name[0] != b"/" or memchr(name, b",", name_size) != NULL:
            raise PacketError(f"a namespace begins with / and has no comma: {namespace!r}")
        if name_size == 1:
            name_size = 0
        else:
            size += name_size + 1
    if binary:
        size += digit_count(count) + 1
    if id is not None:
        if not isinstance(id, int):
            raise PacketError(f"an ack id is an integer, not {id!r}")
        small = PyLong_AsLongLongAndOverflow(id, &overflow)
        if overflow > 0:
            try:
                long_number = int.__repr__(id).encode()
            except ValueError as error:
                raise PacketError("the ack id is too large") from error
            size += PyBytes_GET_SIZE(long_number)
        elif overflow < 0 or small < 0:
            raise PacketError(f"an ack id is not negative: {id!r}")
        else:
            size += digit_count(small)
    size += payload_size

    cdef Py_ssize_t header_size = frame_header_size(size)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, header_size + size)
    cdef char* out = PyBytes_AS_STRING(frame)
    out += write_frame_header(<unsigned char*>out, OP_TEXT, size, True)
    out[0] = b"4"
    out[1] = <char>(c"0" + type)
    out += 2
    if binary:
        out = <char*>write_digits(<unsigned char*>out, count, c"0")
        out[0] = b"-"
        out += 1
    if name_size:
        memcpy(out, name, name_size)
        out += name_size
        out[0] = b","
        out += 1
    if long_number is not None:
        memcpy(out, PyBytes_AS_STRING(long_number), PyBytes_GET_SIZE(long_number))
        out += PyBytes_GET_SIZE(long_number)
    elif id is not None:
        out = <char*>write_digits(<unsigned char*>out, small, c"0")
    memcpy(out, payload, payload_size)

    cdef EncodedPacket packet = EncodedPacket.__new__(EncodedPacket)
    packet._frame = frame
    packet._offset = header_size + 1
    if attachments is not None:
        packet.attachments = tuple(attachments)
    return packet


cdef EncodedPacket _encode(int type, int binary_type, object namespace, object id, object data):
    """A packet whose type its content decides: `binary_type` if there are attachments, else `type`."""
    cdef char plain[PLAIN_LIMIT]
    cdef Py_ssize_t count
    cdef Py_ssize_t size = dump_plain(data, plain, &count)
    cdef list found
    if size >= 0:
        if count == 0:
            return _assemble(type, False, namespace, id, plain, size, None)
        found = [value for value in data if isinstance(value, bytes)]
        return _assemble(binary_type, True, namespace, id, plain, size, found)
    cdef Attachments attachments = Attachments.__new__(Attachments)
    cdef bytes payload = dump(data, attachments)
    if attachments.found is None:
        return _assemble_json(type, False, namespace, id, payload, None)
    return _assemble_json(binary_type, True, namespace, id, payload, attachments.found)


cdef inline EncodedPacket _assemble_json(
    int type, bint binary, object namespace, object id, bytes payload, list attachments
):
    """The same with the JSON, if there is any, as bytes."""
    if payload is None:
        payload = b""
    return _assemble(
        type, binary, namespace, id, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), attachments
    )


cpdef EncodedPacket encode_event(tuple args, object namespace="/", object id=None):
    """Encode an event: EVENT, or BINARY_EVENT if its arguments hold bytes.

    ``args`` is ``(event, *arguments)``, ``id`` the ack id if an answer is wanted. Bytes-likes that can change
    are copied. Raises PacketError for values that have no JSON form.
    """
    if not args:
        raise PacketError("an event needs a name")
    cdef EncodedPacket packet = _encode(EVENT, BINARY_EVENT, namespace, id, args)
    packet.event = args
    return packet


cpdef EncodedPacket encode_ack(object args, object namespace, object id):
    """Encode the answer to event ``id``: ACK, or BINARY_ACK if its arguments hold bytes.

    ``args`` is a tuple or list, possibly empty. Raises PacketError for values that have no JSON form.
    """
    if not isinstance(args, (tuple, list)):
        raise PacketError("the arguments of an ack are a tuple or a list")
    if id is None:
        raise PacketError("an ack needs an id")
    return _encode(ACK, BINARY_ACK, namespace, id, args)


cpdef EncodedPacket encode_packet(Packet packet, int protocol=5):
    """Encode any packet for Socket.IO protocol 4 or 5.

    Protocol 5 decides by content whether an event or ack is binary. In protocol 4 the type says so: bytes in
    an EVENT are printed as JSON, as Node prints a Buffer, and a BINARY_EVENT may have no attachment. Raises
    PacketError for values that have no JSON form and ValueError for another protocol.
    """
    if packet is None:
        raise PacketError("nothing to encode")
    if protocol != 4 and protocol != 5:
        raise ValueError(f"no Socket.IO protocol {protocol}")
    cdef int type = packet.kind
    cdef bint binary = type == BINARY_EVENT or type == BINARY_ACK
    cdef Attachments attachments = None
    cdef bytes payload = None
    if protocol == 5 and (binary or type == EVENT or type == ACK):
        if packet.data is not None:
            if type == EVENT or type == BINARY_EVENT:
                return _encode(EVENT, BINARY_EVENT, packet.namespace, packet.id, packet.data)
            return _encode(ACK, BINARY_ACK, packet.namespace, packet.id, packet.data)
        type = EVENT if type == EVENT or type == BINARY_EVENT else ACK
        binary = False
    if packet.data is not None:
        attachments = Attachments.__new__(Attachments)
        attachments.as_json = not binary
        payload = dump(packet.data, attachments)
    return _assemble_json(
        type, binary, packet.namespace, packet.id, payload, None if attachments is None else attachments.found
    )


cpdef EncodedPacket assemble(
    int type, object namespace, object id, bytes payload, list attachments, tuple event=None
):
    """A packet whose JSON somebody else has written, with placeholders for ``attachments``.

    An event or ack with attachments becomes a binary one; ``event`` is what it was made from. Raises
    PacketError for a namespace or an id that cannot be.
    """
    if type < CONNECT or type > BINARY_ACK:
        raise PacketError(f"no packet type {type}")
    if type >= BINARY_EVENT:
        type -= BINARY_EVENT - EVENT
    cdef EncodedPacket packet
    if not attachments:
        packet = _assemble_json(type, False, namespace, id, payload, None)
    elif type != EVENT and type != ACK:
        raise PacketError("only events and acknowledgements have attachments")
    else:
        packet = _assemble_json(type + BINARY_EVENT - EVENT, True, namespace, id, payload, attachments)
    packet.event = event
    return packet


cpdef EncodedPacket encoded_messages(list messages, tuple event=None):
    """What a parser made of a packet, of ``event`` if it is one: messages in order, ``str`` or bytes-like.

    Raises PacketError for anything else, and for none at all.
    """
    cdef EncodedPacket packet = EncodedPacket.__new__(EncodedPacket)
    cdef list frames3 = []
    cdef list frames4 = []
    cdef list found = []
    cdef list attachments = []
    cdef Py_ssize_t texts = 0
    cdef bint text_first = True
    cdef bytes data
    for message in messages:
        if isinstance(message, str):
            try:
                data = b"4" + (<str>message).encode()
            except UnicodeEncodeError as error:
                raise PacketError("the parser gave text that is not encodable") from error
            data = _frame_of(OP_TEXT, data)
            frames3.append(data)
            frames4.append(data)
            found.append((4, str.__str__(message)))
            text_first = text_first and texts == 0 and not attachments
            texts += 1
        elif isinstance(message, BYTES_LIKE):
            data = bytes(message)
            frames3.append(_frame_of(OP_BINARY, b"\x04" + data))
            frames4.append(_frame_of(OP_BINARY, data))
            attachments.append(data)
            found.append((4, data))
        else:
            raise PacketError(f"a message is str or bytes, not {type(message).__name__}")
    if not found:
        raise PacketError("the parser gave no message")
    packet.event = event
    packet._messages = found
    packet.attachments = tuple(attachments)
    packet._frames3 = b"".join(frames3)
    packet._frames4 = b"".join(frames4)
    if texts == 0:
        packet._frame = b""
    elif text_first:
        packet._frame = frames4[0]
        packet._offset = PyBytes_GET_SIZE(packet._frame) - len((<str>found[0][1]).encode())
    else:
        # Without binary messages, this is what frames() gives.
        packet._frame = packet._frames4
        packet._offset = -1
    return packet


cdef bytes _frame_of(int opcode, bytes data):
    """A frame as a server sends it."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t header = frame_header_size(size)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, header + size)
    write_frame_header(<unsigned char*>PyBytes_AS_STRING(frame), opcode, size, True)
    memcpy(PyBytes_AS_STRING(frame) + header, PyBytes_AS_STRING(data), size)
    return frame


def encode(Packet packet not None, int protocol=5):
    """Encode a packet into its messages: the text first, then one ``bytes`` per attachment.

    The same as ``encode_packet``, for those who want plain values.
    """
    cdef EncodedPacket encoded = encode_packet(packet, protocol)
    return [encoded.text_bytes().decode(), *encoded.attachments]


# ----------------------------------------------------------------------------------- decoding


cdef bint _is_payload(int protocol, int type, object data) except -1:
    """Whether the JSON value has the shape that a packet of this type carries."""
    if type == EVENT or type == BINARY_EVENT:
        if not isinstance(data, list) or PyList_GET_SIZE(data) == 0:
            return False
        name = <object>PyList_GET_ITEM(data, 0)
        if isinstance(name, str):
            return not is_reserved(name)
        return isinstance(name, (int, float)) and not isinstance(name, bool)
    if type == ACK or type == BINARY_ACK:
        return isinstance(data, list)
    if type == DISCONNECT:
        return False
    if isinstance(data, dict) or (type == CONNECT_ERROR and isinstance(data, str)):
        return True
    return protocol == 4 and (data is None or isinstance(data, list))


def check_payload(Packet packet not None, int protocol):
    """Refuse, with a PacketError, a packet of another parser whose data this one would not take."""
    if packet.data is not None and not _is_payload(protocol, packet.kind, packet.data):
        raise PacketError("invalid payload")
    if packet.kind == ACK and packet.id is None:
        raise PacketError("an acknowledgement without an id")
    if packet.id is not None and type(packet.id) is not int:
        raise PacketError("invalid packet id")


@cython.final
cdef class Decoder:
    """Turns the messages of one connection into packets; binary packets wait here for their attachments.

    ``protocol`` is the Socket.IO protocol, 4 or 5; ``max_attachments`` the largest number of attachments a
    packet may announce, ``max_bytes`` the largest size of a packet, text and attachments together, ``loads``
    reads JSON, a ``str``, in place of orjson. After a PacketError the connection should be closed; the
    decoder then holds nothing.
    """

    def __init__(
        self,
        int protocol=5,
        Py_ssize_t max_attachments=10,
        Py_ssize_t max_bytes=100_000_000,
        object loads=None,
    ):
        if protocol != 4 and protocol != 5:
            raise ValueError(f"no Socket.IO protocol {protocol}")
        self.protocol = protocol
        self.max_attachments = max_attachments
        self.max_bytes = max_bytes
        self._loads = loads

    @property
    def pending(self):
        """Whether attachments of a packet are still to come."""
        return self._packet is not None

    def reset(self):
        """Forget the packet that waits for attachments."""
        self._packet = None

    cpdef Packet add(self, object data):
        """Take one message: ``str`` is a packet, bytes are an attachment.

        Returns the packet it completes, ``None`` while attachments are missing. Protocol 4 reads an unknown
        type as a CONNECT_ERROR packet whose namespace is empty, to be ignored: a v2 server drops it silently.
        Raises PacketError for anything malformed, TooManyAttachments and PayloadTooLarge over the limits.
        """
        cdef Py_ssize_t size
        cdef const char* text
        cdef bytes copy
        if isinstance(data, str):
            try:
                text = PyUnicode_AsUTF8AndSize(data, &size)
            except UnicodeEncodeError:
                copy = (<str>data).encode("utf-8", "surrogatepass")
                return self._decode(PyBytes_AS_STRING(copy), PyBytes_GET_SIZE(copy), "surrogatepass")
            return self._decode(text, size, NULL)
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise PacketError(f"a message is str or bytes, not {type(data).__name__}")
        return self.add_binary(bytes(data))

    cpdef Packet add_text(self, bytes data, Py_ssize_t offset=0):
        """Take a text message as UTF-8 that begins at ``offset`` of ``data``; otherwise as ``add``."""
        if data is None or offset < 0 or offset > PyBytes_GET_SIZE(data):
            raise PacketError("no text at that offset")
        return self._decode(PyBytes_AS_STRING(data) + offset, PyBytes_GET_SIZE(data) - offset, NULL)

    cpdef Packet add_binary(self, bytes data):
        """Take an attachment; otherwise as ``add``."""
        cdef Packet packet = self._packet
        if packet is None:
            raise PacketError("got binary data when not reconstructing a packet")
        if data is None:
            raise PacketError("an attachment is bytes")
        self._size += PyBytes_GET_SIZE(data)
        if self._size > self.max_bytes:
            self._packet = None
            raise PayloadTooLarge(self._size, self.max_bytes, "max_bytes")
        packet._attachments.append(data)
        if PyList_GET_SIZE(packet._attachments) < self._expected:
            return None
        return self._complete()

    cdef Packet _complete(self):
        """The waiting packet, all of whose attachments are here."""
        cdef Packet packet = self._packet
        self._packet = None
        if packet.data is not None:
            _reconstruct(packet.data, packet._attachments)
        if self.protocol == 5:
            packet.kind -= BINARY_EVENT - EVENT
        return packet

    @cython.boundscheck(False)
    @cython.wraparound(False)
    cdef Packet _decode(self, const char* text, Py_ssize_t size, const char* errors):
        """Parse a text packet: each read of text[i] stands behind a check of i against size."""
        cdef Py_ssize_t i = 1
        cdef Py_ssize_t start
        cdef Py_ssize_t count = 0
        cdef long long number
        cdef const char* comma
        cdef int type
        cdef Packet packet

        if self._packet is not None:
            self._packet = None
            raise PacketError("got plaintext data when reconstructing a packet")
        if size == 0:
            raise PacketError("empty packet")
        if size > self.max_bytes:
            raise PayloadTooLarge(size, self.max_bytes, "max_bytes")
        type = <unsigned char>text[0] - c"0"
        if type < 0 or type > BINARY_ACK:
            return self._unknown_type(<unsigned char>text[0])

        packet = Packet.__new__(Packet)
        packet.kind = type
        if type >= BINARY_EVENT:
            while i < size and c"0" <= text[i] <= c"9" and i <= MAX_DIGITS:
                count = count * 10 + (text[i] - c"0")
                i += 1
            if count == 0 or i == size or text[i] != c"-":
                raise PacketError("Illegal attachments")
            i += 1
            if count > self.max_attachments:
                raise TooManyAttachments(count, self.max_attachments)
        if i < size and text[i] == c"/":
            start = i
            comma = <const char*>memchr(text + i, c",", size - i)
            i = size if comma == NULL else comma - text
            if i - start == 1:
                packet.namespace = _ROOT
            else:
                packet.namespace = _decode_name(text + start, i - start)
            if comma != NULL:
                i += 1
        else:
            packet.namespace = _ROOT
        if i < size and c"0" <= text[i] <= c"9":
            start = i
            number = 0
            while i < size and c"0" <= text[i] <= c"9":
                if i - start == MAX_DIGITS:
                    raise PacketError("the ack id is too long")
                number = number * 10 + (text[i] - c"0")
                i += 1
            packet.id = number
        if i < size:
            # JavaScript reads white space here as a part of the number; nobody sends it.
            if <unsigned char>text[i] <= c" ":
                raise PacketError("white space before the payload")
            if self._loads is None:
                packet.data = load(text + i, size - i, errors)
            else:
                packet.data = load_with(self._loads, text + i, size - i, errors)
            if not _is_payload(self.protocol, type, packet.data):
                raise PacketError("invalid payload")
        if type >= BINARY_EVENT:
            packet._attachments = []
            self._packet = packet
            self._expected = count
            self._size = size
            return None
        return packet

    cdef Packet _unknown_type(self, unsigned char c):
        """Protocol 4 makes an ERROR packet without namespace of it, which servers drop."""
        cdef str digit = chr(c) if c"0" <= c <= c"9" else "NaN"
        if self.protocol == 5 or c <= c" ":
            raise PacketError(f"unknown packet type {digit}")
        cdef Packet packet = Packet.__new__(Packet)
        packet.kind = CONNECT_ERROR
        packet.namespace = ""
        packet.data = f"parser error: unknown packet type {digit}"
        return packet


cdef str _decode_name(const char* text, Py_ssize_t size):
    """A namespace; strict, since one with a lone surrogate could not be answered."""
    try:
        return PyUnicode_DecodeUTF8(text, size, NULL)
    except UnicodeDecodeError as error:
        raise PacketError("the namespace is not UTF-8") from error


cdef int _reconstruct(list data, list attachments) except -1:
    """Put the attachments where their placeholders are; iterative, since a peer chooses the depth."""
    cdef list todo = []
    cdef list unused = list(attachments)
    cdef Py_ssize_t i
    cdef list items
    node = data
    while True:
        if isinstance(node, dict):
            # Only values change, so the dict may be walked meanwhile.
            for key, value in (<dict>node).items():
                if _is_placeholder(value):
                    (<dict>node)[key] = _take(<dict>value, unused)
                elif isinstance(value, (dict, list)):
                    todo.append(value)
        else:
            items = <list>node
            for i in range(PyList_GET_SIZE(items)):
                value = items[i]
                if _is_placeholder(value):
                    items[i] = _take(<dict>value, unused)
                elif isinstance(value, (dict, list)):
                    todo.append(value)
        if not todo:
            return 0
        node = todo.pop()


cdef bint _is_placeholder(object value) except -1:
    return isinstance(value, dict) and (<dict>value).get("_placeholder") is True


cdef object _take(dict placeholder, list unused):
    """The attachment a placeholder stands for; each may be asked for once."""
    cdef object number = placeholder.get("num")
    cdef object attachment
    if type(number) is not int or number < 0 or number >= len(unused):
        raise PacketError("illegal attachments")
    attachment = unused[number]
    if attachment is None:
        raise PacketError("illegal attachments: one of them is used twice")
    unused[number] = None
    return attachment
