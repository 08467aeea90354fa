"""What the TPM says of itself under a signature (Part 1, "Attestation")."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.attest import Attest, Attested
from pefstack.hw.tpm.clock_info import ClockInfo
from pefstack.hw.tpm.codes import TPM_GENERATED_VALUE, TpmAlgId, TpmRh, TpmSt
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.crypto.kdf import kdfa
from pefstack.hw.tpm.names import handle_name
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.properties import FIRMWARE_VERSION
from pefstack.hw.tpm.scheme import Scheme
from pefstack.hw.tpm.signature import Signature
from pefstack.hw.tpm.signing import sign
from pefstack.hw.tpm.state import MAX_UINT64, Internals
from pefstack.hw.tpm.structures import put_uint32
from pefstack.hw.tpm.time_info import clock_info

GENERATED: Final = put_uint32(TPM_GENERATED_VALUE)
_IN_CLEAR: Final = (TpmRh.ENDORSEMENT, TpmRh.PLATFORM)
_ALG: Final = TpmAlgId.SHA512
_OBFUSCATE: Final = b"OBFUSCATE"


def attest(
    inner: Internals,
    signer: TpmObject | None,
    scheme: Scheme,
    kind: TpmSt,
    qualifying: bytes,
    attested: Attested,
) -> tuple[bytes, Signature]:
    """The TPMS_ATTEST around ``attested``, and its signature.

    Without a signer it is not signed. An anonymous scheme (ECDAA) says neither who
    signs nor why: the qualifying data are hashed beside the structure.
    """
    is_anonymous = scheme.alg == TpmAlgId.ECDAA
    clock, version = _state_of_tpm(inner, signer)
    structure = Attest(
        type=kind,
        qualified_signer=b"" if is_anonymous else _qualified_name(signer),
        extra_data=b"" if is_anonymous else qualifying,
        clock_info=clock,
        firmware_version=version,
        attested=attested,
    ).to_bytes()
    if signer is None:
        return structure, Signature()
    hashed = digest(scheme.hash_alg, structure)
    if is_anonymous and qualifying:
        hashed = digest(scheme.hash_alg, qualifying, hashed)
    return structure, sign(inner, signer, scheme, hashed)


def _qualified_name(signer: TpmObject | None) -> bytes:
    return handle_name(TpmRh.NULL) if signer is None else signer.qualified_name


def _state_of_tpm(inner: Internals, signer: TpmObject | None) -> tuple[ClockInfo, int]:
    """TPMS_CLOCK_INFO and firmwareVersion, hidden from keys that may be anybody's.

    What is added follows from the owner's proof and the signer: one signer sees that
    the counts rise, two signers cannot tell that they are on one TPM.
    """
    if signer is not None and signer.hierarchy in _IN_CLEAR:
        return clock_info(inner), FIRMWARE_VERSION
    proof = inner.state.hierarchies[TpmRh.OWNER].proof
    mask = kdfa(_ALG, proof, _OBFUSCATE, _qualified_name(signer), b"", 128)
    version, resets, restarts = (
        int.from_bytes(each, "big") for each in (mask[:8], mask[8:12], mask[12:])
    )
    return clock_info(
        inner, (resets, restarts)
    ), FIRMWARE_VERSION + version & MAX_UINT64
