"""What a verification finds: one value for a container, one for the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pefstack.firmware.stage import Refusal
from pefstack.images.codec import Buffer
from pefstack.images.container import ContainerHeader
from pefstack.images.container_peek import hw_keys_hash_of
from pefstack.images.container_verify import Verified
from pefstack.images.errors import FormatError
from pefstack.images.rejection import LOG_GOOD, VerificationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What a container is held against; ``key_hash`` None is that of its own keys."""

    key_hash: bytes | None
    minimum_version: int = 0

    def hash_for(self, header: Buffer) -> bytes:
        """The 64 bytes that the hardware keys of this header are compared with."""
        return hw_keys_hash_of(header) if self.key_hash is None else self.key_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One place that was looked at, and the first check that failed there.

    ``place`` is a partition, a container of the SEEPROM or "container", ``offset`` its
    raw offset in the file. ``rules`` are those of the ROM or the SBE. ``log`` is None
    where no check of the container ran. ``refusal`` is what a boot would say.
    ``payload`` names what SBE_FW was found to sign.
    """

    place: str
    offset: int
    good: bool = False
    stage: str = ""
    rules: str = "ROM"
    log: int | None = None
    refusal: str = ""
    check: str = ""
    found: str = ""
    expected: str = ""
    mend: str = ""
    label: str = ""
    security_version: int | None = None
    key_hash: str = ""
    payload: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """A file or a machine: the answer, what it was held against, every finding.

    ``keys`` says in words where the key hash comes from; ``key_hash`` is empty where
    the keys were checked against nothing.
    """

    name: str
    format: str
    good: bool
    keys: str
    key_hash: str
    minimum_version: int
    settings: dict[str, str | int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def judged(start: Finding, header: Buffer, verify: Callable[[], Verified]) -> Finding:
    """``start`` with the verdict of a verification that runs now."""
    start = replace(start, **_about(header))
    try:
        verify()
    except VerificationError as rejected:
        return replace(
            start,
            log=rejected.log,
            refusal=str(Refusal.CONTAINER_REJECTED),
            check=rejected.what,
            found=rejected.found,
            expected=rejected.expected,
            mend=rejected.mend,
        )
    return replace(start, good=True, log=LOG_GOOD)


def refused(
    start: Finding, refusal: Refusal, check: str, found: str, expected: str, mend: str
) -> Finding:
    """``start`` with a defect that is none of the container's own checks."""
    return replace(
        start,
        good=False,
        refusal=str(refusal),
        check=check,
        found=found,
        expected=expected,
        mend=mend,
    )


def _about(header: Buffer) -> dict[str, Any]:
    """What an untrusted header says of itself; nothing where it can't be read."""
    try:
        parsed = ContainerHeader.from_prefix(header)
    except FormatError:
        return {}
    return {
        "label": parsed.label,
        "security_version": parsed.software.security_version,
        "key_hash": hw_keys_hash_of(header).hex(),
    }
