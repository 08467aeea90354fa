"""PCR_SetAuthPolicy, PCR_SetAuthValue (Part 3, "Integrity Collection")."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.buffers import TPM2B_DIGEST
from pefstack.hw.tpm.codes import DIGEST_SIZE, PCR_COUNT, TpmAlgId, TpmCc
from pefstack.hw.tpm.command import Command, Handle, Parameter
from pefstack.hw.tpm.entities import Pcr
from pefstack.hw.tpm.handles import TPMI_DH_PCR, TPMI_RH_PLATFORM
from pefstack.hw.tpm.hierarchies import Hierarchy, trimmed
from pefstack.hw.tpm.interface_types import TPMI_ALG_HASH_OR_NULL
from pefstack.hw.tpm.pcr_group import in_group
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import UINT32, one_of

_P1, _P3 = RC_P + RC_1, RC_P + 3 * RC_1
_SIZES: Final = {int(TpmAlgId.NULL): 0, **DIGEST_SIZE}


def pcr_set_auth_policy(
    inner: Internals, auth: Hierarchy, auth_policy: bytes, hash_alg: int, pcr: int
) -> tuple[()]:
    """The policy of the group that the PCR is in; TPM_RC_VALUE for any other PCR."""
    if len(auth_policy) != _SIZES[hash_alg]:
        raise Refusal(TpmRc.SIZE + _P1)
    if not in_group(pcr):
        raise Refusal(TpmRc.VALUE + _P3)
    group = inner.state.pcr_group
    group.auth_policy, group.policy_alg = auth_policy, hash_alg
    inner.state.note_change()
    return ()


def pcr_set_auth_value(inner: Internals, pcr: Pcr, auth: bytes) -> tuple[()]:
    """The authValue of the group, until the next Startup(CLEAR)."""
    if not in_group(pcr):
        raise Refusal(TpmRc.VALUE)
    inner.state.pcr_group.auth_value = trimmed(auth)
    inner.state.change_saved()
    return ()


PCR_SET_AUTH_POLICY: Final = Command(
    code=TpmCc.PCR_SET_AUTH_POLICY,
    action=pcr_set_auth_policy,
    handles=(Handle(name="authHandle", type=TPMI_RH_PLATFORM),),
    parameters=(
        Parameter(name="authPolicy", unmarshal=TPM2B_DIGEST),
        Parameter(name="hashAlg", unmarshal=TPMI_ALG_HASH_OR_NULL),
        Parameter(
            name="pcrNum",
            unmarshal=one_of(UINT32, frozenset(range(PCR_COUNT)), TpmRc.VALUE),
        ),
    ),
    writes_nv=True,
    decrypts=True,
)
PCR_SET_AUTH_VALUE: Final = Command(
    code=TpmCc.PCR_SET_AUTH_VALUE,
    action=pcr_set_auth_value,
    handles=(Handle(name="pcrHandle", type=TPMI_DH_PCR),),
    parameters=(Parameter(name="auth", unmarshal=TPM2B_DIGEST),),
    decrypts=True,
)
COMMANDS: Final = (PCR_SET_AUTH_POLICY, PCR_SET_AUTH_VALUE)
