"""TPMU_ATTEST: what each kind of attestation says (Part 2, 10.12.1 to 10.12.11)."""

from __future__ import annotations

from dataclasses import dataclass

from pefstack.hw.tpm.buffers import TPM2B_DIGEST, TPM2B_MAX_NV_BUFFER, TPM2B_NAME
from pefstack.hw.tpm.clock_info import TPMS_TIME_INFO, TimeInfo
from pefstack.hw.tpm.structures import (
    TPMI_YES_NO,
    TPML_PCR_SELECTION,
    UINT16,
    UINT64,
    PcrSelect,
    Reader,
    put_pair,
    put_pcr_selections,
    put_tpm2b,
    put_uint8,
    put_uint16,
    put_uint64,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifyInfo:
    """TPMS_CERTIFY_INFO: an object is loaded here."""

    name: bytes
    qualified_name: bytes

    def to_bytes(self) -> bytes:
        """The structure."""
        return put_pair((self.name, self.qualified_name))

    @classmethod
    def unmarshal(cls, reader: Reader) -> CertifyInfo:
        """The structure, read."""
        return cls(name=TPM2B_NAME(reader), qualified_name=TPM2B_NAME(reader))


@dataclass(frozen=True, slots=True, kw_only=True)
class CreationInfo:
    """TPMS_CREATION_INFO: this TPM made an object, with these creation data."""

    object_name: bytes
    creation_hash: bytes

    def to_bytes(self) -> bytes:
        """The structure."""
        return put_pair((self.object_name, self.creation_hash))

    @classmethod
    def unmarshal(cls, reader: Reader) -> CreationInfo:
        """The structure, read."""
        return cls(object_name=TPM2B_NAME(reader), creation_hash=TPM2B_DIGEST(reader))


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteInfo:
    """TPMS_QUOTE_INFO: the PCRs have these values."""

    pcr_select: tuple[PcrSelect, ...]
    pcr_digest: bytes

    def to_bytes(self) -> bytes:
        """The structure."""
        selection = put_pcr_selections(list(self.pcr_select))
        return selection + put_tpm2b(self.pcr_digest)

    @classmethod
    def unmarshal(cls, reader: Reader) -> QuoteInfo:
        """The structure, read."""
        selection = tuple(TPML_PCR_SELECTION(reader))
        return cls(pcr_select=selection, pcr_digest=TPM2B_DIGEST(reader))


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandAuditInfo:
    """TPMS_COMMAND_AUDIT_INFO: commands were run, among those audited."""

    audit_counter: int
    digest_alg: int
    audit_digest: bytes
    command_digest: bytes

    def to_bytes(self) -> bytes:
        """The structure."""
        head = put_uint64(self.audit_counter) + put_uint16(self.digest_alg)
        return head + put_pair((self.audit_digest, self.command_digest))

    @classmethod
    def unmarshal(cls, reader: Reader) -> CommandAuditInfo:
        """The structure, read."""
        return cls(
            audit_counter=UINT64(reader),
            digest_alg=UINT16(reader),
            audit_digest=TPM2B_DIGEST(reader),
            command_digest=TPM2B_DIGEST(reader),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionAuditInfo:
    """TPMS_SESSION_AUDIT_INFO: commands were run in an audit session."""

    exclusive_session: bool
    session_digest: bytes

    def to_bytes(self) -> bytes:
        """The structure."""
        return put_uint8(self.exclusive_session) + put_tpm2b(self.session_digest)

    @classmethod
    def unmarshal(cls, reader: Reader) -> SessionAuditInfo:
        """The structure, read."""
        exclusive = bool(TPMI_YES_NO(reader))
        return cls(exclusive_session=exclusive, session_digest=TPM2B_DIGEST(reader))


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeAttestInfo:
    """TPMS_TIME_ATTEST_INFO: what the clocks show."""

    time: TimeInfo
    firmware_version: int

    def to_bytes(self) -> bytes:
        """The structure."""
        return self.time.to_bytes() + put_uint64(self.firmware_version)

    @classmethod
    def unmarshal(cls, reader: Reader) -> TimeAttestInfo:
        """The structure, read."""
        return cls(time=TPMS_TIME_INFO(reader), firmware_version=UINT64(reader))


@dataclass(frozen=True, slots=True, kw_only=True)
class NvCertifyInfo:
    """TPMS_NV_CERTIFY_INFO: an NV index holds these bytes."""

    index_name: bytes
    offset: int
    nv_contents: bytes

    def to_bytes(self) -> bytes:
        """The structure."""
        head = put_tpm2b(self.index_name) + put_uint16(self.offset)
        return head + put_tpm2b(self.nv_contents)

    @classmethod
    def unmarshal(cls, reader: Reader) -> NvCertifyInfo:
        """The structure, read."""
        return cls(
            index_name=TPM2B_NAME(reader),
            offset=UINT16(reader),
            nv_contents=TPM2B_MAX_NV_BUFFER(reader),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NvDigestInfo:
    """TPMS_NV_DIGEST_CERTIFY_INFO: an NV index holds bytes of this digest."""

    index_name: bytes
    nv_digest: bytes

    def to_bytes(self) -> bytes:
        """The structure."""
        return put_pair((self.index_name, self.nv_digest))

    @classmethod
    def unmarshal(cls, reader: Reader) -> NvDigestInfo:
        """The structure, read."""
        return cls(index_name=TPM2B_NAME(reader), nv_digest=TPM2B_DIGEST(reader))
