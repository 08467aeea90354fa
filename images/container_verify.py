"""Verify a container as the ROM code or as the SBE does: two orders of checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pefstack.images import container_checks as checks
from pefstack.images.codec import Buffer
from pefstack.images.container import HEADER_SIZE
from pefstack.images.container_checks import Candidate, PrefixFields, SoftwareFields
from pefstack.images.rejection import LOG_GOOD, VerificationError

Check = Callable[[Candidate], None]

# boot-chain.md 1.3: HBBL, Hostboot and skiboot
ROM_ORDER: Final[tuple[Check, ...]] = (
    checks.magic,
    checks.container_version,
    checks.hw_key_hash,
    checks.prefix_ver_alg,
    checks.hw_signatures,
    checks.prefix_ecid,
    checks.prefix_hash,
    checks.sw_key_count,
    checks.sw_key_protection,
    checks.secure_version,
    checks.header_ver_alg,
    checks.sw_signatures,
    checks.header_ecid,
    checks.entry_point,
    checks.code_protection,
    checks.header_hash,
)

# boot-chain.md 1.4: the verification code of the SBE
SBE_ORDER: Final[tuple[Check, ...]] = (
    checks.magic,
    checks.container_version,
    checks.hw_key_hash,
    checks.prefix_ver_alg,
    checks.prefix_header_size,
    checks.hw_signatures,
    checks.prefix_ecid,
    checks.prefix_payload_size,
    checks.prefix_hash,
    checks.sw_key_count,
    checks.sw_key_protection,
    checks.secure_version,
    checks.header_ver_alg,
    checks.header_ecid,
    checks.sw_signatures,
    checks.entry_point,
    checks.component_id,
    checks.sw_payload_size,
    checks.header_hash,
)

SBE_FW: Final = b"SBE_FW\0\0"
HBBL: Final = b"HBBL\0\0\0\0"
_SBE_KEY: Final = {HBBL: 0, SBE_FW: 2}  # the one hardware key that is checked


class Verified:
    """The headers of a container that passed every check."""

    __slots__ = ("prefix", "software")

    def __init__(self, prefix: PrefixFields, software: SoftwareFields) -> None:
        self.prefix = prefix
        self.software = software


def rom_verify(
    container: Buffer, hw_key_hash: bytes, minimum_secure_version: int
) -> Verified:
    """The 16 checks of 1.3 on a whole container.

    ``hw_key_hash`` is 64 bytes, ``minimum_secure_version`` one byte's worth. Raises
    `VerificationError` with the code of the first check that fails, `FormatError` when
    there are not even 4096 bytes.
    """
    raw = memoryview(container)
    candidate = Candidate(
        raw=raw,
        payload=raw[HEADER_SIZE:],
        hw_key_hash=hw_key_hash,
        minimum_secure_version=minimum_secure_version,
    )
    return _run(ROM_ORDER, candidate)


def sbe_verify(
    header: Buffer,
    payload: Buffer,
    component_id: bytes,
    hw_key_hash: bytes,
    minimum_secure_version: int,
) -> Verified:
    """The checks of 1.4: one hardware key (by component), one software key.

    ``header`` is the 4096-byte section of the SEEPROM, ``payload`` the section that it
    covers, zero-padded to 8. Raises as `rom_verify`.
    """
    candidate = Candidate(
        raw=memoryview(header),
        payload=memoryview(payload),
        hw_key_hash=hw_key_hash,
        minimum_secure_version=minimum_secure_version,
        hw_keys=(_SBE_KEY[component_id],),
        sw_keys=(0,),
        component_id=component_id,
    )
    return _run(SBE_ORDER, candidate)


def log_word(container: Buffer, hw_key_hash: bytes, minimum_secure_version: int) -> int:
    """What `rom_verify` leaves as its 64-bit log word: 0x103, or the failed check's."""
    try:
        rom_verify(container, hw_key_hash, minimum_secure_version)
    except VerificationError as rejected:
        return rejected.log
    return LOG_GOOD


def _run(order: tuple[Check, ...], candidate: Candidate) -> Verified:
    for check in order:
        check(candidate)
    return Verified(candidate.prefix, candidate.software)
