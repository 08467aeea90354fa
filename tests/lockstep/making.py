"""A command made up by its shape: handles, parameters, sessions; some spoilt."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.authorize import uses_for
from lockstep.dice import Dice
from lockstep.mutation import mutated, sized
from lockstep.sessions import Use, area
from lockstep.shape import Making, Shape
from lockstep.values import Each, u16, u32
from lockstep.world import World


@dataclass
class Sent:
    """A command as it goes out."""

    shape: Shape
    handles: list[int]
    names: list[Each]
    params: Each
    uses: list[Use] | None
    raw: Each
    spoilt: bool = False


def make(world: World, shape: Shape) -> Sent:
    """A command of this shape, good or bad."""
    dice = world.dice
    handles = [pick(world) for pick in shape.handles]
    making = Making(world, dice, handles)
    params = making.own(shape.params(making))
    spoilt = dice.one_in(8)
    if spoilt and dice.one_in(2):
        params = mutated_params(dice, params)
    uses = uses_for(world, shape, handles)
    names = [world.names(each) for each in handles]
    raw = tuple(
        whole(shape.code, handles, names, uses, params, side)
        for side in range(world.sides)
    )
    bad = dice.one_in(6)
    if bad:
        raw = mutated(dice, raw)
    return Sent(shape, handles, names, params, uses, raw, spoilt or bad)


def mutated_params(dice: Dice, params: Each) -> Each:
    """Bad parameters under a good HMAC."""
    whole_ones = tuple(bytes(10) + each for each in params)
    return tuple(each[10:] for each in mutated(dice, whole_ones))


def whole(
    code: int,
    handles: list[int],
    names: list[Each],
    uses: list[Use] | None,
    params: Each,
    side: int,
) -> bytes:
    """The command's bytes for one TPM."""
    own = params[side]
    body = b"".join(map(u32, handles))
    tag = 0x8001
    if uses is not None:
        tag = 0x8002
        all_names = b"".join(each[side] for each in names)
        sessions, own = area(code, all_names, uses, own, side)
        body += u32(len(sessions)) + sessions
    return sized(u16(tag) + bytes(4) + u32(code) + body + own)
