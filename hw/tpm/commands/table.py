"""All commands by code, as the engine looks them up."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.command import Command
from pefstack.hw.tpm.commands import (
    attestations,
    audits,
    ciphers,
    clocks,
    ecc_commits,
    ecc_primitives,
    hashing,
    nv_content,
    nv_definition,
    nv_locks,
    pcr_authorization,
    platform_presence,
    policy_authorizations,
    policy_conditions,
    policy_hashes,
    policy_nv,
    rsa_primitives,
    sequences,
    signatures,
    testing,
)
from pefstack.hw.tpm.commands.allocation import PCR_ALLOCATE
from pefstack.hw.tpm.commands.capability import GET_CAPABILITY
from pefstack.hw.tpm.commands.contexts import (
    CONTEXT_LOAD,
    CONTEXT_SAVE,
    EVICT_CONTROL,
    FLUSH_CONTEXT,
)
from pefstack.hw.tpm.commands.credential import ACTIVATE_CREDENTIAL, MAKE_CREDENTIAL
from pefstack.hw.tpm.commands.dictionary import (
    DICTIONARY_ATTACK_LOCK_RESET,
    DICTIONARY_ATTACK_PARAMETERS,
)
from pefstack.hw.tpm.commands.duplicating import DUPLICATE, IMPORT, REWRAP
from pefstack.hw.tpm.commands.hierarchy import (
    CHANGE_EPS,
    CHANGE_PPS,
    CLEAR,
    CLEAR_CONTROL,
    HIERARCHY_CHANGE_AUTH,
    HIERARCHY_CONTROL,
    SET_PRIMARY_POLICY,
)
from pefstack.hw.tpm.commands.object_creation import (
    CREATE,
    CREATE_LOADED,
    CREATE_PRIMARY,
)
from pefstack.hw.tpm.commands.object_loading import (
    LOAD,
    LOAD_EXTERNAL,
    OBJECT_CHANGE_AUTH,
    READ_PUBLIC,
    UNSEAL,
)
from pefstack.hw.tpm.commands.pcr import PCR_EVENT, PCR_EXTEND, PCR_READ, PCR_RESET
from pefstack.hw.tpm.commands.randomness import GET_RANDOM, STIR_RANDOM
from pefstack.hw.tpm.commands.session_start import (
    POLICY_RESTART,
    START_AUTH_SESSION,
)
from pefstack.hw.tpm.commands.startup import (
    GET_TEST_RESULT,
    SELF_TEST,
    SHUTDOWN,
    STARTUP,
)

_FAMILIES: Final = (
    attestations,
    audits,
    ciphers,
    clocks,
    ecc_commits,
    ecc_primitives,
    hashing,
    nv_content,
    nv_definition,
    nv_locks,
    pcr_authorization,
    platform_presence,
    policy_authorizations,
    policy_conditions,
    policy_hashes,
    policy_nv,
    rsa_primitives,
    sequences,
    signatures,
    testing,
)
COMMANDS: Final[dict[int, Command]] = {
    int(command.code): command
    for command in (
        PCR_ALLOCATE,
        PCR_EVENT,
        PCR_RESET,
        SELF_TEST,
        STARTUP,
        SHUTDOWN,
        STIR_RANDOM,
        GET_CAPABILITY,
        GET_RANDOM,
        GET_TEST_RESULT,
        PCR_READ,
        PCR_EXTEND,
        START_AUTH_SESSION,
        POLICY_RESTART,
        *(each for family in _FAMILIES for each in family.COMMANDS),
        EVICT_CONTROL,
        HIERARCHY_CONTROL,
        CHANGE_EPS,
        CHANGE_PPS,
        CLEAR,
        CLEAR_CONTROL,
        HIERARCHY_CHANGE_AUTH,
        SET_PRIMARY_POLICY,
        CREATE_PRIMARY,
        DICTIONARY_ATTACK_LOCK_RESET,
        DICTIONARY_ATTACK_PARAMETERS,
        ACTIVATE_CREDENTIAL,
        DUPLICATE,
        OBJECT_CHANGE_AUTH,
        REWRAP,
        CREATE,
        IMPORT,
        LOAD,
        UNSEAL,
        CONTEXT_LOAD,
        CONTEXT_SAVE,
        FLUSH_CONTEXT,
        LOAD_EXTERNAL,
        MAKE_CREDENTIAL,
        READ_PUBLIC,
        CREATE_LOADED,
    )
}
COMMAND_ATTRIBUTES: Final = tuple(
    COMMANDS[code].attributes for code in sorted(COMMANDS)
)
