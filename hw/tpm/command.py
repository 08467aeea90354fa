"""How a command is declared: handles, authorization roles, parameters, results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from pefstack.hw.tpm.codes import PCR_COUNT, TpmRh
from pefstack.hw.tpm.structures import Marshal, Unmarshal

TPMA_CC_NV: Final = 1 << 22  # TPMA_CC, Part 2: the command may write NV
TPMA_CC_C_HANDLES: Final = 25  # shift of the number of handles

Action = Callable[..., tuple[Any, ...]]
"""Takes `Internals`, handles, parameters; gives the results, or raises `Refusal`.

It makes every check before its first change, so a refused command changes nothing.
"""


class AuthRole(IntEnum):
    """Which authorization a handle needs (Part 1, "Authorization Roles")."""

    NONE = 0
    USER = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """One handle: the values its TPMI type allows, and its role."""

    name: str
    values: frozenset[int]
    role: AuthRole = AuthRole.USER


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter: its name and how it is read."""

    name: str
    unmarshal: Unmarshal[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One row of the command table (Part 3)."""

    code: int
    action: Action
    handles: tuple[Handle, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    results: tuple[Marshal, ...] = ()
    writes_nv: bool = False
    allows_sessions: bool = True
    auth_count: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        count = sum(handle.role is not AuthRole.NONE for handle in self.handles)
        object.__setattr__(self, "auth_count", count)

    @property
    def attributes(self) -> int:
        """TPMA_CC as GetCapability(COMMANDS) reports it."""
        nv = TPMA_CC_NV if self.writes_nv else 0
        return self.code | nv | len(self.handles) << TPMA_CC_C_HANDLES


TPMI_DH_PCR: Final = frozenset(range(PCR_COUNT))
TPMI_DH_PCR_OR_NULL: Final = TPMI_DH_PCR | {int(TpmRh.NULL)}
TPMI_RH_PLATFORM: Final = frozenset((int(TpmRh.PLATFORM),))
