"""How a command is made up, how its answer is read, what is learnt from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lockstep.dice import Dice
from lockstep.sessions import Use
from lockstep.values import Each, Piece, joined
from lockstep.world import World


@dataclass
class Making:
    """A command in the making."""

    world: World
    dice: Dice
    handles: list[int]

    def own(self, pieces: list[Piece]) -> Each:
        """Pieces as each TPM's bytes."""
        return tuple(joined(pieces, side) for side in range(self.world.sides))


@dataclass
class Done:
    """A command that every TPM took."""

    code: int
    handles: list[int]
    names: list[Each]  # of the handles, before
    params: Each  # without encryption
    uses: list[Use]
    made: int = 0  # the handle in the answer
    fields: list[Each] = field(default_factory=list)


Pick = Callable[[World], int]
Params = Callable[[Making], list[Piece]]
Learn = Callable[[World, Done], None]


@dataclass(frozen=True)
class Shape:
    """One command.

    ``results``, a letter a field: B a TPM2B that is the same everywhere, b one that is
    not, l one of the same length, d the same where handles stand for the same; 1 2 4 8
    numbers, T a ticket, A an attestation, S a signature, R the rest the same, r the
    rest any.
    """

    code: int
    handles: tuple[Pick, ...] = ()
    auths: int = 0
    params: Params = lambda m: []
    results: str = ""
    gives_handle: bool = False
    learn: Learn | None = None
    weight: int = 4
    hidden: bool = False  # its first parameter may be encrypted
    shown: bool = False  # its first result
