"""GetSessionAuditDigest, GetCommandAuditDigest, SetCommandCodeAuditStatus (Part 3)."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.attestation import attest
from pefstack.hw.tpm.attested import CommandAuditInfo, SessionAuditInfo
from pefstack.hw.tpm.buffers import TPML_CC
from pefstack.hw.tpm.codes import TpmAlgId, TpmCc, TpmSt
from pefstack.hw.tpm.command import AuthRole, Command, Handle, Parameter
from pefstack.hw.tpm.commands.attesting import (
    QUALIFYING,
    RESULTS,
    SCHEME,
    SIGN_HANDLE,
    Attestation,
    choose,
)
from pefstack.hw.tpm.commands.table import CODES
from pefstack.hw.tpm.handles import (
    TPMI_RH_ENDORSEMENT,
    TPMI_RH_PROVISION,
    TPMI_SH_HMAC,
)
from pefstack.hw.tpm.hierarchies import Hierarchy
from pefstack.hw.tpm.interface_types import TPMI_ALG_HASH_OR_NULL
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.scheme import Scheme
from pefstack.hw.tpm.session import Session
from pefstack.hw.tpm.state import Internals

_AUDIT_ALG: Final = RC_P + RC_1


def get_session_audit_digest(
    inner: Internals,
    privacy: Any,
    sign_key: Any,
    session: Session,
    qualifying: bytes,
    asked: Scheme,
) -> Attestation:
    """The digest over all commands of an audit session, and whether it was alone."""
    signer, scheme = choose(sign_key, 2, asked)
    if not session.audit_digest:
        raise Refusal(TpmRc.TYPE + 3 * RC_1)
    exclusive = inner.state.sessions.exclusive == session.handle
    info = SessionAuditInfo(
        exclusive_session=exclusive, session_digest=session.audit_digest
    )
    kind = TpmSt.ATTEST_SESSION_AUDIT
    return attest(inner, signer, scheme, kind, qualifying, info)


def get_command_audit_digest(
    inner: Internals, privacy: Any, sign_key: Any, qualifying: bytes, asked: Scheme
) -> Attestation:
    """The digest over all audited commands; when it is signed another one begins."""
    signer, scheme = choose(sign_key, 2, asked)
    audit = inner.state.command_audit
    info = CommandAuditInfo(
        audit_counter=audit.counter,
        digest_alg=audit.alg,
        audit_digest=audit.digest or b"",
        command_digest=audit.codes_digest(),
    )
    kind = TpmSt.ATTEST_COMMAND_AUDIT
    answer = attest(inner, signer, scheme, kind, qualifying, info)
    if signer is not None:
        audit.restart()
        inner.state.note_change()
    return answer


def set_command_code_audit_status(
    inner: Internals,
    auth: Hierarchy,
    audit_alg: int,
    set_list: list[int],
    clear_list: list[int],
) -> tuple[()]:
    """Another hash, or other commands to audit, but not both at once."""
    audit = inner.state.command_audit
    if audit_alg in (TpmAlgId.NULL, audit.alg):
        known = [code for code in set_list if code in CODES]
        audit.change_codes(known, clear_list)
    elif set_list or clear_list:
        raise Refusal(TpmRc.VALUE + _AUDIT_ALG)
    else:
        audit.change_algorithm(audit_alg)
    inner.state.note_change()
    return ()


GET_SESSION_AUDIT_DIGEST: Final = Command(
    code=TpmCc.GET_SESSION_AUDIT_DIGEST,
    action=get_session_audit_digest,
    handles=(
        Handle(name="privacyAdminHandle", type=TPMI_RH_ENDORSEMENT),
        SIGN_HANDLE,
        Handle(name="sessionHandle", type=TPMI_SH_HMAC, role=AuthRole.NONE),
    ),
    parameters=(QUALIFYING, SCHEME),
    results=RESULTS,
    decrypts=True,
    encrypts=True,
)
GET_COMMAND_AUDIT_DIGEST: Final = Command(
    code=TpmCc.GET_COMMAND_AUDIT_DIGEST,
    action=get_command_audit_digest,
    handles=(Handle(name="privacyHandle", type=TPMI_RH_ENDORSEMENT), SIGN_HANDLE),
    parameters=(QUALIFYING, SCHEME),
    results=RESULTS,
    writes_nv=True,
    decrypts=True,
    encrypts=True,
)
SET_COMMAND_CODE_AUDIT_STATUS: Final = Command(
    code=TpmCc.SET_COMMAND_CODE_AUDIT_STATUS,
    action=set_command_code_audit_status,
    handles=(Handle(name="auth", type=TPMI_RH_PROVISION),),
    parameters=(
        Parameter(name="auditAlg", unmarshal=TPMI_ALG_HASH_OR_NULL),
        Parameter(name="setList", unmarshal=TPML_CC),
        Parameter(name="clearList", unmarshal=TPML_CC),
    ),
    writes_nv=True,
)
COMMANDS: Final = (
    GET_SESSION_AUDIT_DIGEST,
    GET_COMMAND_AUDIT_DIGEST,
    SET_COMMAND_CODE_AUDIT_STATUS,
)
