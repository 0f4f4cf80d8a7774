"""RMCP+ and Serial over LAN as bytes, without a socket or a clock (IPMI 2.0, sections 13 and 15).

Every reader takes any bytes and returns None, or raises WireError, for those that are not what they should be.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

RMCP = b"\x06\x00\xff\x07"
AUTH_RMCP_PLUS = 0x06
IPMI, SOL = 0x00, 0x01
OPEN_REQUEST, OPEN_RESPONSE, RAKP1, RAKP2, RAKP3, RAKP4 = range(0x10, 0x16)
AES_CBC_128 = 1
MOST_USER, MOST_PASSWORD = 16, 20
"""Bytes of a user name and of a password (section 22.30)."""
ADMINISTRATOR = 4
_BY_NAME_ONLY = 0x10


class WireError(ValueError):
    """The bytes are not what they should be."""


class CipherSuite(msgspec.Struct, frozen=True):
    """Algorithm numbers, the hash, and the bytes of an integrity check value (tables 13-17 to 13-19, 22-20)."""

    authentication: int
    integrity: int
    hash: str
    length: int


SUITES = {3: CipherSuite(1, 1, "sha1", 12), 17: CipherSuite(3, 4, "sha256", 16)}
"""With encryption, integrity and authentication. All others lack one of these, or use MD5 or RC4."""


class SessionKeys(msgspec.Struct, frozen=True):
    """The keys of one session: `integrity` (K1), and `encryption`, the first 16 bytes of K2."""

    suite: CipherSuite
    session: bytes
    integrity: bytes
    encryption: bytes


class Handshake(msgspec.Struct, frozen=True):
    """What both sides know by RAKP 2: session ids and random numbers of console and BMC, the BMC's GUID, the user."""

    console_id: bytes
    bmc_id: bytes
    console_random: bytes
    bmc_random: bytes
    guid: bytes
    user: bytes

    @property
    def _role(self) -> bytes:
        return bytes([ADMINISTRATOR | _BY_NAME_ONLY, len(self.user)]) + self.user

    def rakp2_code(self, suite: CipherSuite, key: bytes) -> bytes:
        """By which the BMC proves that it knows the password."""
        said = self.console_id + self.bmc_id + self.console_random + self.bmc_random + self.guid + self._role
        return _mac(suite, key, said)

    def rakp3_code(self, suite: CipherSuite, key: bytes) -> bytes:
        """By which the console proves it."""
        return _mac(suite, key, self.bmc_random + self.console_id + self._role)

    def keys(self, suite: CipherSuite, key: bytes) -> SessionKeys:
        """The keys of the session."""
        session = _mac(suite, key, self.console_random + self.bmc_random + self._role)
        first, second = (_mac(suite, session, bytes([number]) * 20) for number in (1, 2))
        return SessionKeys(suite, session, first, second[:16])

    def rakp4_code(self, keys: SessionKeys) -> bytes:
        """By which the BMC shows that it has the same session key."""
        return _mac(keys.suite, keys.session, self.console_random + self.bmc_id + self.guid)[: keys.suite.length]


def password_key(password: str) -> bytes:
    """The password as a key. Raises WireError for one that is too long for IPMI."""
    encoded = password.encode()
    if len(encoded) > MOST_PASSWORD:
        raise WireError(f"an IPMI password has at most {MOST_PASSWORD} bytes")
    return encoded.ljust(MOST_PASSWORD, b"\0")


def _mac(suite: CipherSuite, key: bytes, said: bytes) -> bytes:
    return hmac.digest(key, said, suite.hash)


def same(one: bytes, other: bytes) -> bool:
    """Whether two check values are equal, in constant time."""
    return hmac.compare_digest(one, other)


# -- packets -----------------------------------------------------------------------------------------------------------


def plain_packet(kind: int, payload: bytes) -> bytes:
    """A packet outside of a session."""
    return RMCP + bytes([AUTH_RMCP_PLUS, kind]) + bytes(8) + len(payload).to_bytes(2, "little") + payload


def sealed_packet(kind: int, payload: bytes, peer_id: bytes, number: int, keys: SessionKeys, vector: bytes) -> bytes:
    """A packet of a session, encrypted and signed. `vector`: 16 random bytes; `number`: the session's next."""
    pad = -(len(payload) + 1) % 16
    padded = payload + bytes(range(1, pad + 1)) + bytes([pad])
    seal = Cipher(algorithms.AES(keys.encryption), modes.CBC(vector)).encryptor()
    body = vector + seal.update(padded) + seal.finalize()
    head = bytes([AUTH_RMCP_PLUS, kind | 0xC0]) + peer_id + number.to_bytes(4, "little")
    said = head + len(body).to_bytes(2, "little") + body
    fill = -(len(said) + 2) % 4
    said += b"\xff" * fill + bytes([fill, 7])
    return RMCP + said + _mac(keys.suite, keys.integrity, said)[: keys.suite.length]


class Packet(msgspec.Struct, frozen=True):
    """What a datagram carries. `number` is that of its session, 0 outside of one."""

    kind: int
    payload: bytes
    number: int = 0


def read_plain(datagram: bytes) -> Packet | None:
    """A packet outside of a session."""
    if len(datagram) < 16 or datagram[:5] != RMCP + bytes([AUTH_RMCP_PLUS]) or datagram[5] & 0xC0:
        return None
    payload = datagram[16 : 16 + int.from_bytes(datagram[14:16], "little")]
    return Packet(datagram[5] & 0x3F, payload)


def read_sealed(datagram: bytes, own_id: bytes, keys: SessionKeys) -> Packet | None:
    """A packet of the session, if it is signed with the session's key and encrypted; None for every other."""
    if len(datagram) < 16 + keys.suite.length or datagram[:5] != RMCP + bytes([AUTH_RMCP_PLUS]):
        return None
    said, code = datagram[4 : -keys.suite.length], datagram[-keys.suite.length :]
    if datagram[5] & 0xC0 != 0xC0 or datagram[6:10] != own_id:
        return None
    if not same(_mac(keys.suite, keys.integrity, said)[: keys.suite.length], code):
        return None
    body = datagram[16 : 16 + int.from_bytes(datagram[14:16], "little")]
    if len(body) < 32 or len(body) % 16:
        return None
    opener = Cipher(algorithms.AES(keys.encryption), modes.CBC(body[:16])).decryptor()
    padded = opener.update(body[16:]) + opener.finalize()
    pad = padded[-1]
    # Some BMCs fill with other bytes than 1, 2, 3 ..., and the signature has proved who filled.
    if pad > 15 or pad >= len(padded):
        return None
    return Packet(datagram[5] & 0x3F, padded[: len(padded) - pad - 1], int.from_bytes(datagram[10:14], "little"))


class Window:
    """Which numbers of a session were seen: each is taken once, and none that is more than 32 behind (6.12.13)."""

    def __init__(self) -> None:
        self._highest, self._seen = 0, 0

    def takes(self, number: int) -> bool:
        """Whether the number is new; it counts as seen then."""
        ahead = number - self._highest
        if ahead > 0:
            self._seen = (self._seen << min(ahead, 64) | 1) & 0xFFFFFFFF
            self._highest = number
            return True
        if ahead <= -32 or self._seen >> -ahead & 1 or number <= 0:
            return False
        self._seen |= 1 << -ahead
        return True


# -- the session's start -----------------------------------------------------------------------------------------------


def open_request(tag: int, console_id: bytes, suite: CipherSuite) -> bytes:
    """Open a session with exactly these algorithms."""
    algorithms_ = ((0, suite.authentication), (1, suite.integrity), (2, AES_CBC_128))
    said = b"".join(bytes([kind, 0, 0, 8, number, 0, 0, 0]) for kind, number in algorithms_)
    return bytes([tag, ADMINISTRATOR, 0, 0]) + console_id + said


class Opened(msgspec.Struct, frozen=True):
    """The BMC's answer: its id of the session, and the algorithms that it takes."""

    bmc_id: bytes
    algorithms: tuple[int, int, int]


def read_open_response(payload: bytes, console_id: bytes) -> Opened:
    """Raises WireError."""
    if len(payload) < 36 or payload[4:8] != console_id:
        raise WireError("the answer to Open Session is too short, or of another session")
    return Opened(payload[8:12], (payload[16], payload[24], payload[32]))


def rakp1(tag: int, bmc_id: bytes, console_random: bytes, user: bytes) -> bytes:
    """Who logs in."""
    role = bytes([ADMINISTRATOR | _BY_NAME_ONLY, 0, 0, len(user)])
    return bytes([tag, 0, 0, 0]) + bmc_id + console_random + role + user


def read_rakp2(payload: bytes, console_id: bytes) -> tuple[bytes, bytes, bytes]:
    """The BMC's random number, its GUID and its check value. Raises WireError."""
    if len(payload) < 40 or payload[4:8] != console_id:
        raise WireError("RAKP 2 is too short, or of another session")
    return payload[8:24], payload[24:40], payload[40:]


def rakp3(tag: int, bmc_id: bytes, code: bytes) -> bytes:
    """The console's proof."""
    return bytes([tag, 0, 0, 0]) + bmc_id + code


def read_rakp4(payload: bytes, console_id: bytes) -> bytes:
    """The BMC's check value. Raises WireError."""
    if len(payload) < 8 or payload[4:8] != console_id:
        raise WireError("RAKP 4 is too short, or of another session")
    return payload[8:]


# -- commands ----------------------------------------------------------------------------------------------------------

APP = 0x06
SET_PRIVILEGE, CLOSE_SESSION, ACTIVATE_PAYLOAD, DEACTIVATE_PAYLOAD, PAYLOAD_INFO = 0x3B, 0x3C, 0x48, 0x49, 0x4B
SOL_INSTANCE = b"\x01\x01"
ENCRYPTED_AND_SIGNED = b"\xc0\x00\x00\x00"
_BMC, _CONSOLE = 0x20, 0x81


def command(number: int, code: int, data: bytes = b"") -> bytes:
    """An application command with the request number 0 to 63."""
    first = bytes([_BMC, APP << 2])
    second = bytes([_CONSOLE, number << 2, code]) + data
    return first + _checksum(first) + second + _checksum(second)


class Answer(msgspec.Struct, frozen=True):
    """The answer to the request of that number: its completion code, and its data."""

    number: int
    code: int
    completion: int
    data: bytes


def read_answer(payload: bytes) -> Answer | None:
    """None for what is no answer, or is damaged."""
    if len(payload) < 8 or payload[1] >> 2 != APP | 1 or sum(payload[:3]) & 0xFF or sum(payload[3:]) & 0xFF:
        return None
    return Answer(payload[4] >> 2, payload[5], payload[6], payload[7:-1])


def _checksum(data: bytes) -> bytes:
    return bytes([-sum(data) & 0xFF])


# -- serial over LAN ---------------------------------------------------------------------------------------------------

NACK, UNAVAILABLE, DEACTIVATED, OVERRUN = 0x40, 0x20, 0x10, 0x08
BREAK = 0x10


class SolPacket(msgspec.Struct, frozen=True):
    """One packet of the line (table 15-2). `number` 1 to 15 wants an answer, 0 only answers. `acknowledged` 0: nothing.
    `accepted`: how many bytes of the acknowledged packet were taken."""

    number: int
    acknowledged: int
    accepted: int
    flags: int
    data: bytes = b""

    def encoded(self) -> bytes:
        """As bytes."""
        return bytes([self.number, self.acknowledged, self.accepted & 0xFF, self.flags]) + self.data


def read_sol(payload: bytes) -> SolPacket | None:
    """None for what is too short."""
    if len(payload) < 4:
        return None
    return SolPacket(payload[0] & 15, payload[1] & 15, payload[2], payload[3], payload[4:])


class Receiver:
    """Puts what comes into order: each byte once, whatever is sent again. `heard` gets the bytes."""

    def __init__(self, heard: Callable[[bytes], None]) -> None:
        self._heard, self._number, self._taken = heard, 0, 0

    def take(self, packet: SolPacket) -> SolPacket | None:
        """Take a packet in, and return the answer to it; None if it wants none. A BMC may send a packet again with
        more bytes behind those that were there (section 15.11)."""
        if not packet.number:
            return None
        before = self._taken if packet.number == self._number else 0
        fresh = packet.data[before:]
        self._number, self._taken = packet.number, max(before, len(packet.data))
        if fresh:
            self._heard(fresh)
        return SolPacket(0, packet.number, len(packet.data), 0)
