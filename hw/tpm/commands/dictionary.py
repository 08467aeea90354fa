"""DictionaryAttackLockReset, …Parameters (Part 3, "Dictionary Attack Functions")."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.codes import TpmCc
from pefstack.hw.tpm.command import Command, Handle, Parameter
from pefstack.hw.tpm.handles import TPMI_RH_LOCKOUT
from pefstack.hw.tpm.hierarchies import Hierarchy
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import UINT32


def dictionary_attack_lock_reset(inner: Internals, _: Hierarchy) -> tuple[()]:
    """No wrong authValue counts any more."""
    inner.state.dictionary_attack.reset(inner.clock_value())
    inner.state.note_change()
    inner.journal.add("tpm", "lock-reset")
    return ()


def dictionary_attack_parameters(
    inner: Internals,
    _: Hierarchy,
    new_max_tries: int,
    new_recovery_time: int,
    lockout_recovery: int,
) -> tuple[()]:
    """How many wrong ones, and seconds until one heals; those counted stay."""
    attack = inner.state.dictionary_attack
    attack.heal(inner.clock_value())
    attack.max_tries = new_max_tries
    attack.recovery_time = new_recovery_time
    attack.lockout_recovery = lockout_recovery
    attack.heal(inner.clock_value())
    inner.state.note_change()
    inner.journal.add(
        "tpm",
        "lock-parameters",
        max_tries=new_max_tries,
        recovery_time=new_recovery_time,
        lockout_recovery=lockout_recovery,
    )
    return ()


DICTIONARY_ATTACK_LOCK_RESET: Final = Command(
    code=TpmCc.DICTIONARY_ATTACK_LOCK_RESET,
    action=dictionary_attack_lock_reset,
    handles=(Handle(name="lockHandle", type=TPMI_RH_LOCKOUT),),
    writes_nv=True,
)
DICTIONARY_ATTACK_PARAMETERS: Final = Command(
    code=TpmCc.DICTIONARY_ATTACK_PARAMETERS,
    action=dictionary_attack_parameters,
    handles=(Handle(name="lockHandle", type=TPMI_RH_LOCKOUT),),
    parameters=(
        Parameter(name="newMaxTries", unmarshal=UINT32),
        Parameter(name="newRecoveryTime", unmarshal=UINT32),
        Parameter(name="lockoutRecovery", unmarshal=UINT32),
    ),
    writes_nv=True,
)
COMMANDS: Final = (
    DICTIONARY_ATTACK_LOCK_RESET,
    DICTIONARY_ATTACK_PARAMETERS,
)
