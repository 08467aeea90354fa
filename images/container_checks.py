"""The single checks of a container, each one sentence of boot-chain.md 1.3 or 1.4."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pefstack.images.container import (
    ECID_SIZE,
    HEADER_SIZE,
    HW_KEYS_OFFSET,
    HW_SIGNATURES_OFFSET,
    MAGIC,
    NAME,
    PART_SIZE,
    PREFIX_OFFSET,
    SW_KEYS_OFFSET,
)
from pefstack.images.errors import FormatError
from pefstack.images.p521 import KEY_SIZE, SIGNATURE_SIZE, is_signed
from pefstack.images.rejection import Rejection, VerificationError

SBE_BUFFER_SIZE: Final = 400  # the SBE hashes nothing longer
ENTRY_MASK: Final = 0x7FFFFFFFFFFFFFFC
_PREFIX: Final = struct.Struct(">HBBQQIBQ64sB")
_SOFTWARE: Final = struct.Struct(">HBBQ8sIBQ64sB")


class PrefixFields(NamedTuple):
    """The prefix header as the checks read it."""

    version: int
    hash_alg: int
    sig_alg: int
    code_start_offset: int
    reserved: int
    flags: int
    sw_key_count: int
    payload_size: int
    payload_hash: bytes
    ecid_count: int


class SoftwareFields(NamedTuple):
    """The software header as the checks read it."""

    version: int
    hash_alg: int
    sig_alg: int
    code_start_offset: int
    component_id: bytes
    flags: int
    security_version: int
    payload_size: int
    payload_hash: bytes
    ecid_count: int


@dataclass(slots=True, kw_only=True)
class Candidate:
    """A container under verification: untrusted bytes, and what the machine expects.

    ``raw`` begins with the 4096-byte header; ``payload`` is what the payload hash is
    compared with. ``hw_keys`` and ``sw_keys`` number the signatures that are checked
    (``sw_keys`` None: all that the prefix announces).
    """

    raw: memoryview
    payload: memoryview
    hw_key_hash: bytes
    minimum_secure_version: int
    hw_keys: tuple[int, ...] = (0, 1, 2)
    sw_keys: tuple[int, ...] | None = None
    component_id: bytes = b""
    prefix: PrefixFields = field(init=False)
    software: SoftwareFields = field(init=False)  # known from check 9 on

    def __post_init__(self) -> None:
        if len(self.raw) < HEADER_SIZE:
            raise FormatError(
                NAME,
                "header",
                0,
                f"0x{len(self.raw):x} bytes",
                f"0x{HEADER_SIZE:x} bytes",
            )
        self.prefix = PrefixFields._make(_PREFIX.unpack_from(self.raw, PREFIX_OFFSET))

    def read_software_header(self) -> None:
        """Take the software header from where the number of keys puts it."""
        at = SW_KEYS_OFFSET + KEY_SIZE * self.prefix.sw_key_count
        self.software = SoftwareFields._make(_SOFTWARE.unpack_from(self.raw, at))

    def signed_by(
        self, keys_at: int, signatures_at: int, which: tuple[int, ...], message: bytes
    ) -> int | None:
        """The number of the first of these keys that did not sign the message."""
        for number in which:
            key = self.raw[keys_at + number * KEY_SIZE :][:KEY_SIZE]
            signature = self.raw[signatures_at + number * SIGNATURE_SIZE :]
            if not is_signed(bytes(key), bytes(signature[:SIGNATURE_SIZE]), message):
                return number
        return None


def _need(good: bool, rejection: Rejection, found: str, expected: str) -> None:
    if not good:
        raise VerificationError(rejection, found, expected)


def magic(it: Candidate) -> None:
    """Check 1: the container magic."""
    found = int.from_bytes(it.raw[:4], "big")
    _need(found == MAGIC, Rejection.MAGIC_NUMBER, f"0x{found:08x}", f"0x{MAGIC:08x}")


def container_version(it: Candidate) -> None:
    """Check 2: the container version."""
    found = int.from_bytes(it.raw[4:6], "big")
    _need(found == 1, Rejection.CONTAINER_VERSION, str(found), "1")


def hw_key_hash(it: Candidate) -> None:
    """Check 3: SHA-512 of the three hardware keys is the machine's."""
    found = hashlib.sha512(it.raw[HW_KEYS_OFFSET:PREFIX_OFFSET]).digest()
    wanted = it.hw_key_hash
    _need(found == wanted, Rejection.HW_KEY_HASH, found.hex(), wanted.hex())


def prefix_ver_alg(it: Candidate) -> None:
    """Check 4: prefix version, hash and signature algorithm are 1."""
    found = it.prefix[:3]
    _need(found == (1, 1, 1), Rejection.PREFIX_VER_ALG, f"{found}", "(1, 1, 1)")


def prefix_header_size(it: Candidate) -> None:
    """The SBE only: the prefix header with its ECIDs fits its buffer."""
    size = PART_SIZE + ECID_SIZE * it.prefix.ecid_count
    limit = f"at most {SBE_BUFFER_SIZE}"
    _need(size <= SBE_BUFFER_SIZE, Rejection.PREFIX_HEADER_SIZE, f"{size}", limit)


def hw_signatures(it: Candidate) -> None:
    """Check 5: the hardware keys signed the prefix header, ECIDs included."""
    ecids = ECID_SIZE * it.prefix.ecid_count
    message = bytes(it.raw[PREFIX_OFFSET : PREFIX_OFFSET + PART_SIZE + ecids])
    at = HW_SIGNATURES_OFFSET + ecids
    bad = it.signed_by(HW_KEYS_OFFSET, at, it.hw_keys, message)
    _need(bad is None, Rejection.HW_SIGNATURE, f"signature {bad} wrong", "all valid")


def prefix_ecid(it: Candidate) -> None:
    """Check 6: no ECID in the prefix."""
    count = it.prefix.ecid_count
    _need(count == 0, Rejection.PREFIX_ECID, f"{count}", "0")


def prefix_payload_size(it: Candidate) -> None:
    """The SBE only: the software keys fit its buffer."""
    size = it.prefix.payload_size
    limit = f"at most {SBE_BUFFER_SIZE}"
    good = size <= SBE_BUFFER_SIZE
    _need(good, Rejection.PREFIX_PAYLOAD_SIZE, f"0x{size:x}", limit)


def prefix_hash(it: Candidate) -> None:
    """Check 7: the hash over as many bytes of keys as the prefix says."""
    size, wanted = it.prefix.payload_size, it.prefix.payload_hash
    room = len(it.raw) - SW_KEYS_OFFSET
    if size > room:
        found = f"0x{size:x} bytes of keys"
        raise VerificationError(Rejection.PREFIX_HASH, found, f"at most 0x{room:x}")
    keys = it.raw[SW_KEYS_OFFSET : SW_KEYS_OFFSET + size]
    found = hashlib.sha512(keys).hexdigest()
    _need(found == wanted.hex(), Rejection.PREFIX_HASH, found, wanted.hex())


def sw_key_count(it: Candidate) -> None:
    """Check 8: one to three software keys."""
    count = it.prefix.sw_key_count
    _need(1 <= count <= 3, Rejection.SW_KEY_COUNT, f"{count}", "1 to 3")


def sw_key_protection(it: Candidate) -> None:
    """Check 9: the hash covered exactly the announced keys."""
    size, wanted = it.prefix.payload_size, KEY_SIZE * it.prefix.sw_key_count
    good = size == wanted
    _need(good, Rejection.SW_KEY_PROTECTION, f"0x{size:x}", f"0x{wanted:x}")
    it.read_software_header()


def secure_version(it: Candidate) -> None:
    """Check 10: no version below the machine's minimum."""
    found, least = it.software.security_version, it.minimum_secure_version
    _need(found >= least, Rejection.SECURE_VERSION, f"{found}", f"at least {least}")


def header_ver_alg(it: Candidate) -> None:
    """Check 11: software header version and hash algorithm are 1."""
    found = it.software[:2]
    _need(found == (1, 1), Rejection.HEADER_VER_ALG, f"{found}", "(1, 1)")


def sw_signatures(it: Candidate) -> None:
    """Check 12: the software keys signed the software header, ECIDs included."""
    count = it.prefix.sw_key_count
    start = SW_KEYS_OFFSET + KEY_SIZE * count
    end = start + PART_SIZE + ECID_SIZE * it.software.ecid_count
    message = bytes(it.raw[start:end])
    which = tuple(range(count)) if it.sw_keys is None else it.sw_keys
    bad = it.signed_by(SW_KEYS_OFFSET, end, which, message)
    _need(bad is None, Rejection.SW_SIGNATURE, f"signature {bad} wrong", "all valid")


def header_ecid(it: Candidate) -> None:
    """Check 13: no ECID in the software header."""
    count = it.software.ecid_count
    _need(count == 0, Rejection.HEADER_ECID, f"{count}", "0")


def entry_point(it: Candidate) -> None:
    """Check 14: the entry point is not negative and 4-byte aligned."""
    entry = it.software.code_start_offset
    good = entry & ~ENTRY_MASK == 0
    _need(good, Rejection.ENTRY_POINT, f"0x{entry:x}", "aligned, below 1<<63")


def code_protection(it: Candidate) -> None:
    """Check 15: the instruction at the entry point is protected."""
    entry, size = it.software.code_start_offset, it.software.payload_size
    found = f"entry 0x{entry:x}"
    wanted = f"entry + 3 below the payload size 0x{size:x}"
    _need(entry + 3 < size, Rejection.CODE_PROTECTION, found, wanted)


def component_id(it: Candidate) -> None:
    """The SBE only: the component id is that of the place."""
    found, wanted = it.software.component_id, it.component_id
    _need(found == wanted, Rejection.COMPONENT_ID, repr(found), repr(wanted))


def sw_payload_size(it: Candidate) -> None:
    """The SBE only: the payload size is the section's."""
    size, wanted = it.software.payload_size, len(it.payload)
    good = size == wanted
    _need(good, Rejection.SW_PAYLOAD_SIZE, f"0x{size:x}", f"0x{wanted:x}")


def header_hash(it: Candidate) -> None:
    """Check 16: the payload, as long as the header says, has the signed hash."""
    size, wanted = it.software.payload_size, it.software.payload_hash.hex()
    room = len(it.payload)
    if size > room:
        found = f"0x{size:x} bytes of payload"
        raise VerificationError(Rejection.HEADER_HASH, found, f"at most 0x{room:x}")
    found = hashlib.sha512(it.payload[:size]).hexdigest()
    _need(found == wanted, Rejection.HEADER_HASH, found, wanted)
