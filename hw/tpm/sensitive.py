"""TPMT_SENSITIVE, TPMS_SENSITIVE_CREATE: what an object keeps (Part 2, 12.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pefstack.hw.tpm.buffers import (
    TPM2B_AUTH,
    TPM2B_DIGEST,
    TPM2B_ECC_PARAMETER,
    TPM2B_PRIVATE_KEY_RSA,
    TPM2B_SENSITIVE_DATA,
    TPM2B_SYM_KEY,
)
from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.hw.tpm.interface_types import TPMI_ALG_PUBLIC
from pefstack.hw.tpm.structures import (
    Reader,
    Unmarshal,
    put_pair,
    put_tpm2b,
    put_uint16,
    sized,
    sized_or_empty,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitive:
    """TPMT_SENSITIVE: prints without its secrets.

    ``sensitive`` is a prime of an RSA key, a private ECC key, sealed data, an HMAC key
    or a symmetric key, by ``type``.
    """

    type: int
    auth_value: bytes = field(default=b"", repr=False)
    seed_value: bytes = field(default=b"", repr=False)
    sensitive: bytes = field(default=b"", repr=False)

    def to_bytes(self) -> bytes:
        """The structure."""
        head = put_uint16(self.type) + put_pair((self.auth_value, self.seed_value))
        return head + put_tpm2b(self.sensitive)


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitiveCreate:
    """TPMS_SENSITIVE_CREATE: the secrets a caller gives; prints without them."""

    user_auth: bytes = field(default=b"", repr=False)
    data: bytes = field(default=b"", repr=False)

    def to_bytes(self) -> bytes:
        """The structure."""
        return put_pair((self.user_auth, self.data))


_COMPOSITE: Final[Mapping[int, Unmarshal[bytes]]] = {
    TpmAlgId.RSA: TPM2B_PRIVATE_KEY_RSA,
    TpmAlgId.ECC: TPM2B_ECC_PARAMETER,
    TpmAlgId.KEYEDHASH: TPM2B_SENSITIVE_DATA,
    TpmAlgId.SYMCIPHER: TPM2B_SYM_KEY,
}


def sensitive_area(reader: Reader) -> Sensitive:
    """TPMT_SENSITIVE."""
    kind = TPMI_ALG_PUBLIC(reader)
    return Sensitive(
        type=kind,
        auth_value=TPM2B_AUTH(reader),
        seed_value=TPM2B_DIGEST(reader),
        sensitive=_COMPOSITE[kind](reader),
    )


def sensitive_create(reader: Reader) -> SensitiveCreate:
    """TPMS_SENSITIVE_CREATE."""
    user_auth = TPM2B_AUTH(reader)
    return SensitiveCreate(user_auth=user_auth, data=TPM2B_SENSITIVE_DATA(reader))


TPMT_SENSITIVE: Final = sensitive_area
TPM2B_SENSITIVE: Final = sized_or_empty(TPMT_SENSITIVE)  # None: no sensitive area
TPM2B_SENSITIVE_CREATE: Final = sized(sensitive_create)
