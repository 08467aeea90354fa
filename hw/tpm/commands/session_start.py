"""StartAuthSession, PolicyRestart (Part 3, "Session Commands")."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.buffers import TPM2B_ENCRYPTED_SECRET, TPM2B_NONCE
from pefstack.hw.tpm.codes import (
    DIGEST_SIZE,
    TpmAlgId,
    TpmaObject,
    TpmCc,
    TpmNt,
    TpmRh,
    TpmSe,
)
from pefstack.hw.tpm.command import AuthRole, Command, Handle, Parameter
from pefstack.hw.tpm.crypto.kdf import kdfa
from pefstack.hw.tpm.guessing import bound_kind
from pefstack.hw.tpm.handles import (
    TPMI_DH_ENTITY_OR_NULL,
    TPMI_DH_OBJECT_OR_NULL,
    TPMI_SH_POLICY,
)
from pefstack.hw.tpm.hierarchies import Hierarchy
from pefstack.hw.tpm.interface_types import TPM_SE, TPMI_ALG_HASH
from pefstack.hw.tpm.nv import NvIndex
from pefstack.hw.tpm.object_keys import has, kind_of
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.secret_sharing import open_secret
from pefstack.hw.tpm.session import PolicyState, Session
from pefstack.hw.tpm.session_hmac import bind_value
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import put_tpm2b, put_uint32
from pefstack.hw.tpm.symmetric_def import TPMT_SYM_DEF, Symmetric

MIN_NONCE_SIZE: Final = 16
_TPM_KEY: Final = RC_1  # handle 1
_BIND: Final = 2 * RC_1
_NONCE: Final = RC_P + RC_1
_SALT: Final = RC_P + 2 * RC_1
_SYMMETRIC: Final = RC_P + 4 * RC_1


def start_auth_session(
    inner: Internals,
    tpm_key: Any,
    bind: Any,
    nonce_caller: bytes,
    encrypted_salt: bytes,
    session_type: int,
    symmetric: Symmetric,
    auth_hash: int,
) -> tuple[int, bytes]:
    """The session's handle, and its first nonceTPM, as long as nonceCaller."""
    if not MIN_NONCE_SIZE <= len(nonce_caller) <= DIGEST_SIZE[auth_hash]:
        raise Refusal(TpmRc.SIZE + _NONCE)
    salt = _salt(tpm_key, encrypted_salt)
    _check_bind(bind)
    if symmetric.alg == TpmAlgId.AES and symmetric.mode != TpmAlgId.CFB:
        raise Refusal(TpmRc.MODE + _SYMMETRIC)
    is_policy = session_type != TpmSe.HMAC
    handle = inner.state.sessions.free_handle(is_policy=is_policy)
    nonce_tpm = inner.entropy.random_bytes(len(nonce_caller))
    bound = None if isinstance(bind, Hierarchy) and bind.handle == TpmRh.NULL else bind
    secret = (b"" if bound is None else bound.auth_value) + salt
    bits = DIGEST_SIZE[auth_hash] * 8
    key = b""
    if bound is not None or isinstance(tpm_key, TpmObject):
        key = kdfa(auth_hash, secret, b"ATH", nonce_tpm, nonce_caller, bits)
    session = Session(
        handle=handle,
        auth_hash=auth_hash,
        symmetric=symmetric,
        session_key=key,
        nonce_tpm=nonce_tpm,
        started_at=inner.time(),
        is_trial=session_type == TpmSe.TRIAL,
    )
    if is_policy:
        session.policy = PolicyState(digest=bytes(DIGEST_SIZE[auth_hash]))
    elif bound is not None:
        session.bound = bind_value(bound, auth_hash)
    if bound is not None:
        session.bound_kind = bound_kind(bound)
    inner.state.sessions.add(session)
    return handle, nonce_tpm


def _check_bind(bind: Any) -> None:
    """Not to an object without authValue or Name, nor to a PIN index."""
    if isinstance(bind, TpmObject):
        nameless = bind.public.name_alg == TpmAlgId.NULL
        if bind.sensitive is None or nameless:
            raise Refusal(TpmRc.HANDLE + _BIND)
    if isinstance(bind, NvIndex) and bind.type in (TpmNt.PIN_FAIL, TpmNt.PIN_PASS):
        raise Refusal(TpmRc.HANDLE + _BIND)


def _salt(tpm_key: Any, encrypted: bytes) -> bytes:
    """What tpmKey opens; without a key there is nothing to open."""
    if isinstance(tpm_key, Hierarchy):
        if encrypted:
            raise Refusal(TpmRc.VALUE + _SALT)
        return b""
    if kind_of(tpm_key) not in (TpmAlgId.RSA, TpmAlgId.ECC):
        raise Refusal(TpmRc.KEY + _TPM_KEY)
    if not encrypted:
        raise Refusal(TpmRc.VALUE + _SALT)
    if tpm_key.sensitive is None:
        raise Refusal(TpmRc.HANDLE + _TPM_KEY)
    if not has(tpm_key, TpmaObject.DECRYPT):
        raise Refusal(TpmRc.ATTRIBUTES + _TPM_KEY)
    try:
        return open_secret(tpm_key, "SECRET", encrypted)
    except Refusal:  # one code, whatever is wrong with it
        raise Refusal(TpmRc.VALUE + _SALT) from None


def policy_restart(inner: Internals, session: Session) -> tuple[()]:
    """The policy as at the start; nonces and keys stay."""
    session.restart_policy()
    return ()


START_AUTH_SESSION: Final = Command(
    code=TpmCc.START_AUTH_SESSION,
    action=start_auth_session,
    handles=(
        Handle(name="tpmKey", type=TPMI_DH_OBJECT_OR_NULL, role=AuthRole.NONE),
        Handle(name="bind", type=TPMI_DH_ENTITY_OR_NULL, role=AuthRole.NONE),
    ),
    parameters=(
        Parameter(name="nonceCaller", unmarshal=TPM2B_NONCE),
        Parameter(name="encryptedSalt", unmarshal=TPM2B_ENCRYPTED_SECRET),
        Parameter(name="sessionType", unmarshal=TPM_SE),
        Parameter(name="symmetric", unmarshal=TPMT_SYM_DEF),
        Parameter(name="authHash", unmarshal=TPMI_ALG_HASH),
    ),
    results=(put_uint32, put_tpm2b),
    gives_handle=True,
    decrypts=True,
    encrypts=True,
)
POLICY_RESTART: Final = Command(
    code=TpmCc.POLICY_RESTART,
    action=policy_restart,
    handles=(Handle(name="sessionHandle", type=TPMI_SH_POLICY, role=AuthRole.NONE),),
)
COMMANDS: Final = (
    START_AUTH_SESSION,
    POLICY_RESTART,
)
