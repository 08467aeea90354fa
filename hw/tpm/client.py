"""Commands for a TPM, and its responses: pure bytes (Part 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Final

from pefstack.hw.errors import DeviceError
from pefstack.hw.tpm.codes import (
    DIGEST_SIZE,
    HEADER_SIZE,
    MAX_PCR_DIGESTS,
    MAX_RESPONSE_SIZE,
    TpmAlgId,
    TpmCap,
    TpmCc,
    TpmRh,
    TpmSt,
    TpmSu,
)
from pefstack.hw.tpm.response_codes import describe
from pefstack.hw.tpm.selections import (
    Selection,
    selection_bytes,
    selection_from_prefix,
)
from pefstack.images.errors import FormatError

_HEADER: Final = Struct(">HII")
_HANDLED: Final = Struct(">HIII")  # header and a handle
_AREA: Final = Struct(">IIHBH")  # size; a password session up to its password
_TAGGED: Final = Struct(">H")
_SESSION_SIZE: Final = 9  # handle, empty nonce, attributes, length of the password

Digests = Mapping[int, bytes] | Mapping[TpmAlgId, bytes]
"""For each bank (TPM_ALG_ID) the digest to extend."""


class TpmError(DeviceError):
    """The TPM answered with a response code other than success."""

    def __init__(self, rc: int) -> None:
        super().__init__("tpm", rc, describe(rc))
        self.args = (rc,)


@dataclass(frozen=True, slots=True, kw_only=True)
class PcrValues:
    """The answer of PCR_Read: at most eight values, and which PCRs they are of."""

    update_counter: int
    selection: dict[int, tuple[int, ...]]
    digests: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """The answer of GetCapability; ``data`` is the list from its count on."""

    more_data: bool
    capability: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationResult:
    """The answer of PCR_Allocate; sizes in bytes."""

    allocation_success: bool
    max_pcr: int
    size_needed: int
    size_available: int


def startup(startup_type: int = TpmSu.CLEAR) -> bytes:
    """TPM2_Startup."""
    return _plain(TpmCc.STARTUP, startup_type.to_bytes(2, "big"))


def shutdown(shutdown_type: int = TpmSu.CLEAR) -> bytes:
    """TPM2_Shutdown."""
    return _plain(TpmCc.SHUTDOWN, shutdown_type.to_bytes(2, "big"))


def self_test(full: bool = True) -> bytes:
    """TPM2_SelfTest."""
    return _plain(TpmCc.SELF_TEST, bytes((full,)))


def get_random(count: int) -> bytes:
    """TPM2_GetRandom; a TPM gives at most 64 bytes at once."""
    return _plain(TpmCc.GET_RANDOM, count.to_bytes(2, "big"))


def get_capability(capability: int, property_: int, count: int) -> bytes:
    """TPM2_GetCapability: ``count`` items from ``property_`` on."""
    words = (capability, property_, count)
    return _plain(
        TpmCc.GET_CAPABILITY, b"".join(word.to_bytes(4, "big") for word in words)
    )


def pcr_read(selection: Selection) -> bytes:
    """TPM2_PCR_Read, as in ``pcr_read({TpmAlgId.SHA256: (0, 6)})``."""
    return _plain(TpmCc.PCR_READ, selection_bytes(selection))


def pcr_extend(pcr: int, digests: Digests) -> bytes:
    """TPM2_PCR_Extend of one PCR in each bank (TPM_ALG_ID) of ``digests``.

    ValueError when a digest does not have its bank's size.
    """
    body = len(digests).to_bytes(4, "big")
    for alg, digest in digests.items():
        if len(digest) != DIGEST_SIZE[alg]:
            raise ValueError(f"{len(digest)} bytes for bank 0x{alg:04x}")
        body += _TAGGED.pack(alg) + digest
    return _authorized(TpmCc.PCR_EXTEND, pcr, _EMPTY_PASSWORD + body)


def pcr_allocate(allocation: Selection, password: bytes = b"") -> bytes:
    """TPM2_PCR_Allocate with the platform's password."""
    body = _password_area(password) + selection_bytes(allocation)
    return _authorized(TpmCc.PCR_ALLOCATE, TpmRh.PLATFORM, body)


def response(raw: bytes) -> bytes:
    """The parameters of a successful response that has no handle.

    Errors as `response_tag`.
    """
    if response_tag(raw) == TpmSt.NO_SESSIONS:
        return raw[HEADER_SIZE:]
    return _parameters(raw)


def response_tag(raw: bytes) -> int:
    """Whether a successful response has sessions: TPM_ST_SESSIONS or NO_SESSIONS.

    TpmError with the code of any other; FormatError for bytes that are no response.
    """
    if not HEADER_SIZE <= len(raw) <= MAX_RESPONSE_SIZE:
        raise _malformed("size", 2, len(raw), f"0xa to 0x{MAX_RESPONSE_SIZE:x} bytes")
    tag, size, rc = _HEADER.unpack_from(raw)
    if size != len(raw):
        raise _malformed("responseSize", 2, size, f"0x{len(raw):x}")
    if rc:
        raise TpmError(rc)
    if tag not in (TpmSt.NO_SESSIONS, TpmSt.SESSIONS):
        raise _malformed("tag", 0, tag, "0x8001 or 0x8002")
    return int(tag)


def random_bytes(body: bytes) -> bytes:
    """Read the parameters of GetRandom."""
    data, end = _sized(body, 0)
    _check_end("TPM2_GetRandom response", body, end)
    return data


def pcr_values(body: bytes) -> PcrValues:
    """Read the parameters of PCR_Read."""
    selection, offset = selection_from_prefix(body, 4)
    count = int.from_bytes(body[offset : offset + 4], "big")
    if count > MAX_PCR_DIGESTS or offset + 4 > len(body):
        name = "TPM2_PCR_Read response"
        raise FormatError(name, "count", offset, f"0x{count:x}", "at most 0x8 digests")
    offset += 4
    digests: list[bytes] = []
    for _ in range(count):
        digest, offset = _sized(body, offset)
        digests.append(digest)
    _check_end("TPM2_PCR_Read response", body, offset)
    counter = int.from_bytes(body[:4], "big")
    return PcrValues(
        update_counter=counter, selection=selection, digests=tuple(digests)
    )


def capability(body: bytes) -> Capability:
    """Read the parameters of GetCapability."""
    if len(body) < 9:
        found = f"0x{len(body):x} bytes"
        raise FormatError("TPM2_GetCapability response", "count", 5, found, "a list")
    number = int.from_bytes(body[1:5], "big")
    return Capability(more_data=bool(body[0]), capability=number, data=body[5:])


def allocated_banks(body: bytes) -> dict[int, tuple[int, ...]]:
    """Read the parameters of GetCapability(PCRS): the PCRs of each bank."""
    answer = capability(body)
    if answer.capability != TpmCap.PCRS:
        found = f"0x{answer.capability:x}"
        raise FormatError("TPM2_GetCapability response", "capability", 1, found, "0x5")
    banks, end = selection_from_prefix(body, 5)
    _check_end("TPM2_GetCapability response", body, end)
    return banks


def allocation_result(body: bytes) -> AllocationResult:
    """Read the parameters of PCR_Allocate."""
    _check_end("TPM2_PCR_Allocate response", body, 13)
    sizes = [int.from_bytes(body[at : at + 4], "big") for at in (1, 5, 9)]
    return AllocationResult(
        allocation_success=bool(body[0]),
        max_pcr=sizes[0],
        size_needed=sizes[1],
        size_available=sizes[2],
    )


def _plain(code: int, body: bytes) -> bytes:
    return _HEADER.pack(TpmSt.NO_SESSIONS, HEADER_SIZE + len(body), code) + body


def _authorized(code: int, handle: int, body: bytes) -> bytes:
    size = _HANDLED.size + len(body)
    return _HANDLED.pack(TpmSt.SESSIONS, size, code, handle) + body


def _password_area(password: bytes) -> bytes:
    size = len(password)
    return _AREA.pack(_SESSION_SIZE + size, TpmRh.PW, 0, 0, size) + password


_EMPTY_PASSWORD: Final = _password_area(b"")


def _parameters(raw: bytes) -> bytes:
    start = HEADER_SIZE + 4
    size = int.from_bytes(raw[HEADER_SIZE:start], "big")
    if start + size > len(raw):
        raise _malformed("parameterSize", HEADER_SIZE, size, "to end in the response")
    return raw[start : start + size]


def _sized(body: bytes, offset: int) -> tuple[bytes, int]:
    start = offset + 2
    end = start + int.from_bytes(body[offset:start], "big")
    if end > len(body):
        raise FormatError("TPM2B", "size", offset, f"0x{end - start:x}", "fewer bytes")
    return body[start:end], end


def _check_end(name: str, body: bytes, end: int) -> None:
    if len(body) != end:
        expected = f"0x{end:x} bytes"
        raise FormatError(name, "end", end, f"0x{len(body):x} bytes", expected)


def _malformed(field: str, offset: int, found: int, expected: str) -> FormatError:
    return FormatError("TPM response", field, offset, f"0x{found:x}", expected)
