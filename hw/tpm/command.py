"""How a command is declared: handles, authorization roles, parameters, results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from pefstack.hw.tpm.handles import HandleType
from pefstack.hw.tpm.structures import Marshal, Unmarshal

TPMA_CC_NV: Final = 1 << 22  # TPMA_CC, Part 2: the command may write NV
TPMA_CC_EXTENSIVE: Final = 1 << 23  # it may flush many transient objects
TPMA_CC_FLUSHED: Final = 1 << 24  # it flushes the objects it names
TPMA_CC_C_HANDLES: Final = 25  # shift of the number of handles
TPMA_CC_R_HANDLE: Final = 1 << 28  # its answer has a handle

Action = Callable[..., tuple[Any, ...]]
"""Takes `Internals`, entities, parameters; gives the results, or raises `Refusal`.

It makes every check before its first change, so a refused command changes nothing.
"""


class AuthRole(IntEnum):
    """Which authorization a handle needs (Part 1, "Authorization Roles")."""

    NONE = 0
    USER = 1
    ADMIN = 2
    DUP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """One handle: its TPMI type, and its role."""

    name: str
    type: HandleType
    role: AuthRole = AuthRole.USER


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter: its name and how it is read."""

    name: str
    unmarshal: Unmarshal[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One row of the command table (Part 3).

    ``decrypts``, ``encrypts``: the first parameter, the first result after a handle, is
    a TPM2B, so that a session may encrypt it. ``gives_handle``: the first result is a
    handle. ``policy_only``: roles ADMIN and DUP of a NV index, and some of objects,
    take nothing but a policy.
    """

    code: int
    action: Action
    handles: tuple[Handle, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    results: tuple[Marshal, ...] = ()
    gives_handle: bool = False
    writes_nv: bool = False
    is_extensive: bool = False
    flushes: bool = False
    allows_sessions: bool = True
    decrypts: bool = False
    encrypts: bool = False
    auth_count: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        count = sum(handle.role is not AuthRole.NONE for handle in self.handles)
        object.__setattr__(self, "auth_count", count)

    @property
    def attributes(self) -> int:
        """TPMA_CC as GetCapability(COMMANDS) reports it."""
        flags = (
            (TPMA_CC_NV, self.writes_nv),
            (TPMA_CC_EXTENSIVE, self.is_extensive),
            (TPMA_CC_FLUSHED, self.flushes),
            (TPMA_CC_R_HANDLE, self.gives_handle),
        )
        bits = sum(bit for bit, there in flags if there)
        return self.code | bits | len(self.handles) << TPMA_CC_C_HANDLES
