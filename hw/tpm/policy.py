"""Policy digests: pure formulas, usable without a TPM (tpm.md 3).

Each takes the digest before (zeros at first) and gives the one after; ``alg`` is the
hash of the session, of the object's nameAlg that is. ValueError when sizes do not fit.
"""

from __future__ import annotations

from collections.abc import Sequence

from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmAlgId, TpmCc
from pefstack.hw.tpm.pcr import HASH
from pefstack.hw.tpm.selections import Selection, selected, selection_bytes
from pefstack.hw.tpm.structures import put_uint8, put_uint16, put_uint32

MIN_BRANCHES, MAX_BRANCHES = 2, 8  # of PolicyOR


def policy_pcr(
    old: bytes,
    selection: Selection,
    values: Sequence[bytes],
    *,
    alg: int = TpmAlgId.SHA256,
) -> bytes:
    """The policyDigest after PolicyPCR: H(old || 0x17F || selection || H(values)).

    ``old`` is the digest before (zeros at first), ``values`` the PCR values in the
    order of the selection: bank by bank, rising PCR numbers. ValueError when sizes or
    numbers do not fit.
    """
    sizes = [DIGEST_SIZE[bank] for bank, _ in selected(selection)]
    if [len(value) for value in values] != sizes:
        raise ValueError("the values are not those of the selected PCRs")
    pcr_digest = _hash(alg, *values)
    return policy_pcr_digest(old, selection_bytes(selection), pcr_digest, alg=alg)


def policy_pcr_digest(
    old: bytes, selection: bytes, pcr_digest: bytes, *, alg: int = TpmAlgId.SHA256
) -> bytes:
    """The same from the marshalled TPML_PCR_SELECTION and the hash of the values."""
    return _next(old, TpmCc.POLICY_PCR, selection, pcr_digest, alg=alg)


def policy_secret(
    old: bytes, name: bytes, policy_ref: bytes = b"", *, alg: int = TpmAlgId.SHA256
) -> bytes:
    """PolicySecret: ``name`` of the entity whose authValue was given."""
    return _updated(old, TpmCc.POLICY_SECRET, name, policy_ref, alg=alg)


def policy_signed(
    old: bytes, name: bytes, policy_ref: bytes = b"", *, alg: int = TpmAlgId.SHA256
) -> bytes:
    """PolicySigned: ``name`` of the key that signed."""
    return _updated(old, TpmCc.POLICY_SIGNED, name, policy_ref, alg=alg)


def policy_authorize(
    old: bytes, name: bytes, policy_ref: bytes = b"", *, alg: int = TpmAlgId.SHA256
) -> bytes:
    """PolicyAuthorize: starts afresh; ``name`` of the key that approved ``old``."""
    fresh = bytes(len(old))
    return _updated(fresh, TpmCc.POLICY_AUTHORIZE, name, policy_ref, alg=alg)


def policy_auth_value(old: bytes, *, alg: int = TpmAlgId.SHA256) -> bytes:
    """PolicyAuthValue, and PolicyPassword, which gives the same digest."""
    return _next(old, TpmCc.POLICY_AUTH_VALUE, alg=alg)


def policy_command_code(old: bytes, code: int, *, alg: int = TpmAlgId.SHA256) -> bytes:
    """PolicyCommandCode."""
    return _next(old, TpmCc.POLICY_COMMAND_CODE, put_uint32(code), alg=alg)


def policy_or(
    old: bytes, branches: Sequence[bytes], *, alg: int = TpmAlgId.SHA256
) -> bytes:
    """PolicyOR of two to eight branches: starts afresh; that ``old`` is one of them
    is for the caller to see to."""
    if not MIN_BRANCHES <= len(branches) <= MAX_BRANCHES:
        raise ValueError(f"{len(branches)} branches, not 2 to 8")
    return _next(bytes(len(old)), TpmCc.POLICY_OR, *branches, alg=alg)


def policy_nv(
    old: bytes,
    nv_name: bytes,
    operand: bytes,
    offset: int,
    operation: int,
    *,
    alg: int = TpmAlgId.SHA256,
) -> bytes:
    """PolicyNV: the index compared with ``operand`` (operandB) by a TPM_EO."""
    arguments = _arguments(operand, offset, operation, alg)
    return _next(old, TpmCc.POLICY_NV, arguments, nv_name, alg=alg)


def policy_counter_timer(
    old: bytes,
    operand: bytes,
    offset: int,
    operation: int,
    *,
    alg: int = TpmAlgId.SHA256,
) -> bytes:
    """PolicyCounterTimer: TPMS_TIME_INFO compared with ``operand`` by a TPM_EO."""
    arguments = _arguments(operand, offset, operation, alg)
    return _next(old, TpmCc.POLICY_COUNTER_TIMER, arguments, alg=alg)


def policy_locality(old: bytes, locality: int, *, alg: int = TpmAlgId.SHA256) -> bytes:
    """PolicyLocality with a TPMA_LOCALITY."""
    return _next(old, TpmCc.POLICY_LOCALITY, put_uint8(locality), alg=alg)


def policy_physical_presence(old: bytes, *, alg: int = TpmAlgId.SHA256) -> bytes:
    """PolicyPhysicalPresence."""
    return _next(old, TpmCc.POLICY_PHYSICAL_PRESENCE, alg=alg)


def policy_nv_written(
    old: bytes, written: bool, *, alg: int = TpmAlgId.SHA256
) -> bytes:
    """PolicyNvWritten."""
    return _next(old, TpmCc.POLICY_NV_WRITTEN, put_uint8(written), alg=alg)


def policy_cp_hash(old: bytes, cp_hash: bytes, *, alg: int = TpmAlgId.SHA256) -> bytes:
    """PolicyCpHash."""
    return _next(old, TpmCc.POLICY_CP_HASH, cp_hash, alg=alg)


def policy_name_hash(
    old: bytes, name_hash: bytes, *, alg: int = TpmAlgId.SHA256
) -> bytes:
    """PolicyNameHash."""
    return _next(old, TpmCc.POLICY_NAME_HASH, name_hash, alg=alg)


def policy_template(
    old: bytes, template_hash: bytes, *, alg: int = TpmAlgId.SHA256
) -> bytes:
    """PolicyTemplate."""
    return _next(old, TpmCc.POLICY_TEMPLATE, template_hash, alg=alg)


def policy_duplication_select(
    old: bytes,
    object_name: bytes,
    new_parent_name: bytes,
    include_object: bool,
    *,
    alg: int = TpmAlgId.SHA256,
) -> bytes:
    """PolicyDuplicationSelect; the object's Name counts only if it is included."""
    names = (object_name if include_object else b"") + new_parent_name
    code = TpmCc.POLICY_DUPLICATION_SELECT
    return _next(old, code, names, put_uint8(include_object), alg=alg)


def policy_authorize_nv(
    old: bytes, nv_name: bytes, *, alg: int = TpmAlgId.SHA256
) -> bytes:
    """PolicyAuthorizeNV: starts afresh; the index holds the approved ``old``."""
    return _next(bytes(len(old)), TpmCc.POLICY_AUTHORIZE_NV, nv_name, alg=alg)


def _updated(old: bytes, code: int, name: bytes, ref: bytes, *, alg: int) -> bytes:
    """PolicyUpdate() of Part 3: the policyRef is hashed a second time round."""
    return _hash(alg, _next(old, code, name, alg=alg), ref)


def _next(old: bytes, code: int, *parts: bytes, alg: int) -> bytes:
    if len(old) != DIGEST_SIZE[alg]:
        raise ValueError(f"a policy digest of {len(old)} bytes")
    return _hash(alg, old, put_uint32(code), *parts)


def _arguments(operand: bytes, offset: int, operation: int, alg: int) -> bytes:
    return _hash(alg, operand, put_uint16(offset), put_uint16(operation))


def _hash(alg: int, *parts: bytes) -> bytes:
    digest: bytes = HASH[alg](b"".join(parts)).digest()
    return digest
