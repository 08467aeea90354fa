"""What UV_ESM asks of the machine while it works, and how it ends (anchors 4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from pefstack.firmware.ultravisor.codes import HCall, HStatus
from pefstack.firmware.ultravisor.conversation import TpmCommand

Answer = bytes | int


class ShareKind(StrEnum):
    """Asked: by the guest. Implicit: the guest cannot take it back. Pseudo: the guest
    keeps its page."""

    ASKED = "asked"
    IMPLICIT = "implicit"
    PSEUDO = "pseudo"


@dataclass(frozen=True, slots=True)
class CreateRecord:
    """Make the record of the VM; 1, or 0 when there is one or no memory."""


@dataclass(frozen=True, slots=True)
class Allocate:
    """Secure pages of the ultravisor's own for this VM; 1, or 0 without memory."""

    pages: int


@dataclass(frozen=True, slots=True)
class Hypercall:
    """Ask the hypervisor; its r3, signed."""

    number: HCall


@dataclass(frozen=True, slots=True)
class PageIn:
    """Have one page in secure memory; 1, or 0 when the hypervisor did not give it."""

    gfn: int


@dataclass(frozen=True, slots=True)
class ReadGuest:
    """Bytes of pages that are in; empty when one is not."""

    address: int
    length: int


@dataclass(frozen=True, slots=True)
class HashGuest:
    """SHA-512 of bytes in pages that are in; empty when one is not."""

    address: int
    length: int


@dataclass(frozen=True, slots=True)
class WriteGuest:
    """Put bytes into pages that are in; 1, or 0 when one is not."""

    address: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SharePages:
    """Share pages with the hypervisor; 1, or 0 when it does not do its part."""

    first_gfn: int
    count: int
    kind: ShareKind


@dataclass(frozen=True, slots=True)
class DrawRandom:
    """Bytes from the processor, never from the TPM."""

    count: int


@dataclass(frozen=True, slots=True)
class Commit:
    """The VM is secure from here on; 1, or 0 when pages of it were taken back."""


Effect = (
    CreateRecord
    | Allocate
    | Hypercall
    | PageIn
    | ReadGuest
    | HashGuest
    | WriteGuest
    | SharePages
    | DrawRandom
    | Commit
    | TpmCommand
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why the call was refused: for the ultravisor's owner, never for the guest.

    ``name`` is one of `EsmRefusal`, of the operand's E_ or the blob's B_ names. ``rc``
    is the TPM's response code where that decided.
    """

    step: int
    name: str
    text: str
    rc: int = 0


@dataclass(frozen=True, slots=True)
class Entered:
    """The VM is secure and goes on at kbase."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The caller gets ``status`` in r3 and stays as it was; None leaves r3 alone."""

    status: int | None
    reason: Reason


@dataclass(frozen=True, slots=True)
class Aborted:
    """Hypervisor and ultravisor undo what was done; the guest gets ``status``.

    It is the hypervisor's answer to H_SVM_INIT_ABORT: H_PARAMETER, whatever was wrong.
    """

    reason: Reason
    status: int = HStatus.PARAMETER


@dataclass(frozen=True, slots=True)
class Killed:
    """Too late to go back: the VM ends."""

    reason: Reason


End = Entered | Refused | Aborted | Killed
