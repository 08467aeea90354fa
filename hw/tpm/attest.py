"""TPMS_ATTEST: what a TPM puts its signature under (Part 2, 10.12.12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pefstack.hw.tpm.attested import (
    CertifyInfo,
    CommandAuditInfo,
    CreationInfo,
    NvCertifyInfo,
    NvDigestInfo,
    QuoteInfo,
    SessionAuditInfo,
    TimeAttestInfo,
)
from pefstack.hw.tpm.buffers import TPM2B_DATA, TPM2B_NAME
from pefstack.hw.tpm.clock_info import TPMS_CLOCK_INFO, ClockInfo
from pefstack.hw.tpm.codes import TPM_GENERATED_VALUE, TpmSt
from pefstack.hw.tpm.response_codes import TpmRc
from pefstack.hw.tpm.structures import (
    UINT16,
    UINT32,
    UINT64,
    Reader,
    one_of,
    put_pair,
    put_uint16,
    put_uint32,
    put_uint64,
    sized,
)

Attested = (
    CertifyInfo
    | CommandAuditInfo
    | CreationInfo
    | NvCertifyInfo
    | NvDigestInfo
    | QuoteInfo
    | SessionAuditInfo
    | TimeAttestInfo
)
"""TPMU_ATTEST."""

_ATTESTED: Final[Mapping[int, Callable[[Reader], Attested]]] = {
    TpmSt.ATTEST_NV: NvCertifyInfo.unmarshal,
    TpmSt.ATTEST_COMMAND_AUDIT: CommandAuditInfo.unmarshal,
    TpmSt.ATTEST_SESSION_AUDIT: SessionAuditInfo.unmarshal,
    TpmSt.ATTEST_CERTIFY: CertifyInfo.unmarshal,
    TpmSt.ATTEST_QUOTE: QuoteInfo.unmarshal,
    TpmSt.ATTEST_TIME: TimeAttestInfo.unmarshal,
    TpmSt.ATTEST_CREATION: CreationInfo.unmarshal,
    TpmSt.ATTEST_NV_DIGEST: NvDigestInfo.unmarshal,
}
_MAGIC: Final = one_of(UINT32, frozenset((TPM_GENERATED_VALUE,)), TpmRc.VALUE)
_TYPE: Final = one_of(UINT16, frozenset(_ATTESTED), TpmRc.SELECTOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attest:
    """TPMS_ATTEST; ``type`` is the TPM_ST that fits ``attested``.

    ``extra_data`` is the caller's qualifyingData. The magic is not kept: it is always
    TPM_GENERATED_VALUE, or the bytes are no attestation.
    """

    type: int
    qualified_signer: bytes
    extra_data: bytes
    clock_info: ClockInfo
    firmware_version: int
    attested: Attested

    def to_bytes(self) -> bytes:
        """The structure, as the signature is over."""
        head = put_uint32(TPM_GENERATED_VALUE) + put_uint16(self.type)
        head += put_pair((self.qualified_signer, self.extra_data))
        head += self.clock_info.to_bytes() + put_uint64(self.firmware_version)
        return head + self.attested.to_bytes()


def attest(reader: Reader) -> Attest:
    """TPMS_ATTEST; TPM_RC_VALUE for another magic, TPM_RC_SELECTOR for another type."""
    _MAGIC(reader)
    kind = _TYPE(reader)
    return Attest(
        type=kind,
        qualified_signer=TPM2B_NAME(reader),
        extra_data=TPM2B_DATA(reader),
        clock_info=TPMS_CLOCK_INFO(reader),
        firmware_version=UINT64(reader),
        attested=_ATTESTED[kind](reader),
    )


TPMS_ATTEST: Final = attest
TPM2B_ATTEST: Final = sized(TPMS_ATTEST)
