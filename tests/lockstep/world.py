"""What the generator knows of the TPMs: what it made, and with which authValue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from lockstep.dice import (
    ENDORSEMENT,
    LOCKOUT,
    NULL,
    OWNER,
    PLATFORM,
    Dice,
)
from lockstep.values import Each, alike

PERMANENT: Final = (OWNER, NULL, LOCKOUT, ENDORSEMENT, PLATFORM)
HMAC, POLICY, TRIAL = 0, 1, 3
KEPT: Final = 12  # opaque things kept of each kind


@dataclass
class Thing:
    """An object, a sequence, an NV index, a hierarchy: what a session authorizes."""

    handle: int
    kind: str = ""
    auth: bytes = b""
    names: Each = ()  # empty: it is the handle
    determined: bool = True  # everything about it is the same in every TPM


@dataclass
class Session:
    """A session as a client keeps it, for each TPM."""

    handle: int
    kind: int
    alg: int
    keys: Each
    nonces: Each
    symmetric: bytes = b"\0\x10"
    bound: tuple[Each, bytes] | None = None  # Names and authValue
    needs_auth: bool = False
    needs_password: bool = False
    determined: bool = True  # its policyDigest


@dataclass
class Kept:
    """Something opaque that came out, to be put in again, and what it is ``about``."""

    values: Each
    about: tuple[Each, ...] = ()
    kind: str = ""
    auth: bytes = b""


@dataclass
class World:
    """Everything known."""

    sides: int
    dice: Dice
    hierarchies: dict[int, Thing] = field(default_factory=dict)
    pcrs: dict[int, Thing] = field(default_factory=dict)
    objects: dict[int, Thing] = field(default_factory=dict)
    nv: dict[int, Thing] = field(default_factory=dict)
    sessions: dict[int, Session] = field(default_factory=dict)
    bag: dict[str, list[Kept]] = field(default_factory=dict)
    locality: int = 0

    def __post_init__(self) -> None:
        self.hierarchies = {each: Thing(each, "hierarchy") for each in PERMANENT}
        self.pcrs = {each: Thing(each, "pcr") for each in range(24)}

    def keep(self, kind: str, kept: Kept) -> None:
        """Into the bag; the oldest falls out."""
        kept_here = self.bag.setdefault(kind, [])
        kept_here.append(kept)
        del kept_here[:-KEPT]

    def keep_value(self, kind: str, values: Each) -> None:
        """A value with nothing about it."""
        self.keep(kind, Kept(values))

    def kept(self, kind: str) -> Kept | None:
        """One of that kind."""
        return self.dice.some(self.bag.get(kind, []), None)

    def thing(self, handle: int) -> Thing:
        """What a handle stands for, as far as known."""
        for known in (self.objects, self.nv, self.hierarchies, self.pcrs):
            if handle in known:
                return known[handle]
        return Thing(handle)

    def object(self, *kinds: str) -> int:
        """The handle of an object of one of these kinds, mostly."""
        good = [each.handle for each in self.objects.values() if each.kind in kinds]
        if good and not self.dice.one_in(12):
            return self.dice.choice(good)
        everything = list(self.objects)
        return self.dice.mostly(
            self.dice.some(everything, 0x80000000), self.dice.any_handle, 6
        )

    def anything(self) -> int:
        """The handle of any object."""
        return self.object()

    def sealed(self) -> int:
        """The handle of a data object."""
        return self.object("sealed")

    def keeper(self) -> int:
        """Owner or platform."""
        return self.hierarchy(OWNER, PLATFORM)

    def either_keeper(self) -> int:
        """Who lets an index be used: its keeper, or itself."""
        return self.keeper() if self.dice.one_in(3) else self.index()

    def index(self) -> int:
        """An NV index, mostly one that there is."""
        known = self.dice.some(list(self.nv), 0x01000001)
        return self.dice.mostly(known, self.new_index, 12)

    def new_index(self) -> int:
        """A handle that an index could get."""
        last = self.dice.mostly(self.dice.randrange(8), lambda: 0xFFFFFF, 20)
        return self.dice.mostly(0x01000000 + last, self.dice.any_handle, 30)

    def session(self, *kinds: int) -> int:
        """The handle of a session of one of these kinds, mostly."""
        good = [each.handle for each in self.sessions.values() if each.kind in kinds]
        known = self.dice.some(good, 0x03000000 if POLICY in kinds else 0x02000000)
        return self.dice.mostly(known, self.dice.any_handle, 20)

    def hierarchy(self, *good: int) -> int:
        """A permanent handle."""
        return self.dice.mostly(self.dice.choice(good), self.dice.any_handle, 25)

    def pcr(self) -> int:
        """A PCR."""
        some = self.dice.mostly(self.dice.randrange(24), lambda: NULL, 15)
        return self.dice.mostly(some, self.dice.any_handle, 40)

    def forget(self, alive: set[int]) -> None:
        """Only what has these handles is still there."""
        self.objects = {h: each for h, each in self.objects.items() if h in alive}
        self.nv = {h: each for h, each in self.nv.items() if h in alive}
        for handle in alive:
            kind = handle >> 24
            if kind == 1 and handle not in self.nv:
                self.nv[handle] = Thing(handle, "nv")
            if kind in (0x80, 0x81) and handle not in self.objects:
                self.objects[handle] = Thing(handle, determined=False)

    def restarted(self) -> None:
        """After Startup the sessions, and some authValues, are gone."""
        self.sessions = {}
        for handle in (PLATFORM, NULL):
            self.hierarchies[handle].auth = b""

    def names(self, handle: int) -> Each:
        """Name of what a handle stands for."""
        thing = self.thing(handle)
        if thing.names:
            return thing.names
        return (handle.to_bytes(4, "big"),) * self.sides

    def determined(self, handles: Iterable[int]) -> bool:
        """Whether all these are the same in every TPM."""
        return all(
            self.thing(each).determined and alike(self.names(each)) for each in handles
        )
