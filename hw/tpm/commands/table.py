"""All commands by code; a family of them is loaded when one of it is first sent."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Final

from pefstack.hw.tpm.codes import TpmCc
from pefstack.hw.tpm.command import Command

# module of this folder -> the commands it declares
FAMILIES: Final[dict[str, tuple[TpmCc, ...]]] = {
    "allocation": (TpmCc.PCR_ALLOCATE,),
    "attestations": (
        TpmCc.CERTIFY,
        TpmCc.CERTIFY_CREATION,
        TpmCc.GET_TIME,
        TpmCc.QUOTE,
        TpmCc.NV_CERTIFY,
    ),
    "audits": (
        TpmCc.GET_COMMAND_AUDIT_DIGEST,
        TpmCc.SET_COMMAND_CODE_AUDIT_STATUS,
        TpmCc.GET_SESSION_AUDIT_DIGEST,
    ),
    "capability": (TpmCc.GET_CAPABILITY,),
    "certificates": (TpmCc.CERTIFY_X509,),
    "ciphers": (
        TpmCc.ENCRYPT_DECRYPT,
        TpmCc.ENCRYPT_DECRYPT_2,
    ),
    "clocks": (
        TpmCc.CLOCK_SET,
        TpmCc.CLOCK_RATE_ADJUST,
        TpmCc.READ_CLOCK,
    ),
    "contexts": (
        TpmCc.EVICT_CONTROL,
        TpmCc.CONTEXT_LOAD,
        TpmCc.CONTEXT_SAVE,
        TpmCc.FLUSH_CONTEXT,
    ),
    "credential": (
        TpmCc.ACTIVATE_CREDENTIAL,
        TpmCc.MAKE_CREDENTIAL,
    ),
    "dictionary": (
        TpmCc.DICTIONARY_ATTACK_LOCK_RESET,
        TpmCc.DICTIONARY_ATTACK_PARAMETERS,
    ),
    "duplicating": (
        TpmCc.DUPLICATE,
        TpmCc.REWRAP,
        TpmCc.IMPORT,
    ),
    "ecc_commits": (
        TpmCc.COMMIT,
        TpmCc.ZGEN_2PHASE,
        TpmCc.EC_EPHEMERAL,
    ),
    "ecc_primitives": (
        TpmCc.ECDH_ZGEN,
        TpmCc.ECDH_KEY_GEN,
        TpmCc.ECC_PARAMETERS,
    ),
    "hashing": (
        TpmCc.HMAC,
        TpmCc.HASH,
    ),
    "hierarchy": (
        TpmCc.HIERARCHY_CONTROL,
        TpmCc.CHANGE_EPS,
        TpmCc.CHANGE_PPS,
        TpmCc.CLEAR,
        TpmCc.CLEAR_CONTROL,
        TpmCc.HIERARCHY_CHANGE_AUTH,
        TpmCc.SET_PRIMARY_POLICY,
    ),
    "nv_content": (
        TpmCc.NV_INCREMENT,
        TpmCc.NV_SET_BITS,
        TpmCc.NV_EXTEND,
        TpmCc.NV_WRITE,
        TpmCc.NV_READ,
    ),
    "nv_definition": (
        TpmCc.NV_UNDEFINE_SPACE_SPECIAL,
        TpmCc.NV_UNDEFINE_SPACE,
        TpmCc.NV_DEFINE_SPACE,
        TpmCc.NV_CHANGE_AUTH,
        TpmCc.NV_READ_PUBLIC,
    ),
    "nv_locks": (
        TpmCc.NV_GLOBAL_WRITE_LOCK,
        TpmCc.NV_WRITE_LOCK,
        TpmCc.NV_READ_LOCK,
    ),
    "object_creation": (
        TpmCc.CREATE_PRIMARY,
        TpmCc.CREATE,
        TpmCc.CREATE_LOADED,
    ),
    "object_loading": (
        TpmCc.OBJECT_CHANGE_AUTH,
        TpmCc.LOAD,
        TpmCc.UNSEAL,
        TpmCc.LOAD_EXTERNAL,
        TpmCc.READ_PUBLIC,
    ),
    "pcr": (
        TpmCc.PCR_EVENT,
        TpmCc.PCR_RESET,
        TpmCc.PCR_READ,
        TpmCc.PCR_EXTEND,
    ),
    "pcr_authorization": (
        TpmCc.PCR_SET_AUTH_POLICY,
        TpmCc.PCR_SET_AUTH_VALUE,
    ),
    "platform_presence": (
        TpmCc.PP_COMMANDS,
        TpmCc.SET_ALGORITHM_SET,
    ),
    "policy_authorizations": (
        TpmCc.POLICY_SECRET,
        TpmCc.POLICY_SIGNED,
        TpmCc.POLICY_AUTHORIZE,
        TpmCc.POLICY_TICKET,
    ),
    "policy_conditions": (
        TpmCc.POLICY_AUTH_VALUE,
        TpmCc.POLICY_COMMAND_CODE,
        TpmCc.POLICY_COUNTER_TIMER,
        TpmCc.POLICY_LOCALITY,
        TpmCc.POLICY_OR,
        TpmCc.POLICY_PCR,
        TpmCc.POLICY_PHYSICAL_PRESENCE,
        TpmCc.POLICY_GET_DIGEST,
        TpmCc.POLICY_PASSWORD,
        TpmCc.POLICY_NV_WRITTEN,
    ),
    "policy_hashes": (
        TpmCc.POLICY_CP_HASH,
        TpmCc.POLICY_NAME_HASH,
        TpmCc.POLICY_DUPLICATION_SELECT,
        TpmCc.POLICY_TEMPLATE,
    ),
    "policy_nv": (
        TpmCc.POLICY_NV,
        TpmCc.POLICY_AUTHORIZE_NV,
    ),
    "randomness": (
        TpmCc.STIR_RANDOM,
        TpmCc.GET_RANDOM,
    ),
    "rsa_primitives": (
        TpmCc.RSA_DECRYPT,
        TpmCc.RSA_ENCRYPT,
    ),
    "sequences": (
        TpmCc.SEQUENCE_COMPLETE,
        TpmCc.HMAC_START,
        TpmCc.SEQUENCE_UPDATE,
        TpmCc.EVENT_SEQUENCE_COMPLETE,
        TpmCc.HASH_SEQUENCE_START,
    ),
    "session_start": (
        TpmCc.START_AUTH_SESSION,
        TpmCc.POLICY_RESTART,
    ),
    "signatures": (
        TpmCc.SIGN,
        TpmCc.VERIFY_SIGNATURE,
    ),
    "startup": (
        TpmCc.SELF_TEST,
        TpmCc.STARTUP,
        TpmCc.SHUTDOWN,
        TpmCc.GET_TEST_RESULT,
    ),
    "testing": (
        TpmCc.INCREMENTAL_SELF_TEST,
        TpmCc.TEST_PARMS,
    ),
}
_FAMILY_OF: Final = {
    int(code): name for name, codes in FAMILIES.items() for code in codes
}
CODES: Final = frozenset(_FAMILY_OF)


class _Commands(dict[int, Command]):
    """Loads what is asked for; KeyError for a code that no family has."""

    def __missing__(self, code: int) -> Command:
        module = import_module(f"{__package__}.{_FAMILY_OF[code]}")
        self.update({int(each.code): each for each in module.COMMANDS})
        return self[code]


COMMANDS: Final = _Commands()


@cache
def command_attributes() -> tuple[int, ...]:
    """TPMA_CC of every command, in rising order of the code."""
    return tuple(COMMANDS[code].attributes for code in sorted(CODES))
