"""One step: a command made up, sent to every TPM, the answers compared, learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from lockstep.accepted import accepted
from lockstep.dice import Dice
from lockstep.making import Sent, make
from lockstep.mutation import sized
from lockstep.pair import Side
from lockstep.results import Unlike, check, same, split
from lockstep.sessions import (
    AUDIT,
    CONTINUE,
    ENCRYPT,
    Answered,
    Use,
    crypt,
    hmac_fits,
    read_answers,
)
from lockstep.shape import Done, Shape
from lockstep.shapes_keys import SHAPES as KEYS
from lockstep.shapes_nv import SHAPES as NV
from lockstep.shapes_objects import SHAPES as OBJECTS
from lockstep.shapes_policy import SHAPES as POLICIES
from lockstep.shapes_system import SHAPES as SYSTEM
from lockstep.values import Each, number, u16, u32
from lockstep.world import POLICY, World

SHAPES: Final = (*KEYS, *NV, *OBJECTS, *POLICIES, *SYSTEM)
BY_CODE: Final = {shape.code: shape for shape in SHAPES}
_WEIGHTS: Final = [shape.weight for shape in SHAPES]
_SHUTDOWN: Final = 0x145
FAILURE: Final = 0x101
_MAY_FLUSH: Final = frozenset((0x121, 0x124, 0x125, 0x126, 0x144))


class CaseEnds(Exception):
    """An accepted difference (accepted.txt) after which the TPMs cannot go on alike."""


@dataclass
class Driver:
    """Some TPMs in lock step, and what is known of them."""

    sides: Sequence[Side]
    dice: Dice
    world: World = field(init=False)
    sent: int = 0
    refused: dict[int, int] = field(default_factory=dict)
    unlike: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world = World(len(self.sides), self.dice)

    def step(self, dice: Dice) -> None:
        """One command, or a change beside the commands; `Unlike` on a difference."""
        self.dice = self.world.dice = dice
        if dice.one_in(150):
            self._power_cycle()
        elif dice.one_in(60):
            self._hash_lines()
        self.world.locality = dice.mostly(0, lambda: dice.randrange(5), 12)
        self._do(make(self.world, self._choice()))

    def _choice(self) -> Shape:
        """Any command; what there is nothing of is made first, mostly."""
        world, dice = self.world, self.dice
        if not dice.one_in(2):
            if len(world.objects) < 2:
                return BY_CODE[dice.choice((0x131, 0x167, 0x167, 0x191, 0x186))]
            if len(world.sessions) < 2:
                return BY_CODE[0x176]
            if len(world.nv) < 3:
                return BY_CODE[0x12A]
        return dice.choices(SHAPES, _WEIGHTS)[0]

    def start(self) -> None:
        """Power, and Startup(CLEAR)."""
        self._cycle(bytes(2))

    def execute(self, each: Each) -> tuple[int, Each]:
        """Response code and responses; `Unlike` when the codes differ."""
        self.sent += 1
        locality = self.world.locality
        answers = tuple(
            side.execute(raw, locality)
            for side, raw in zip(self.sides, each, strict=True)
        )
        codes = [number(answer[6:10]) for answer in answers]
        shown = each[0].hex() if len(each[0]) < 300 else each[0][:300].hex() + "..."
        self.log.append(f"L{locality} {shown} -> {codes[0]:03x}")
        if FAILURE in codes[1:]:
            raise CaseEnds(self.log[-1])
        unlike = any(code != codes[0] for code in codes)
        if unlike and not accepted(number(each[0][6:10]), codes):
            self._unlike(codes, each)
        elif unlike and not all(codes):
            raise CaseEnds(self.log[-1])
        return codes[0], answers

    def _unlike(self, codes: list[int], each: Each) -> None:
        """Two different refusals change nothing, so the TPMs can go on."""
        what = ", ".join(f"0x{code:03x}" for code in codes)
        what = f"0x{number(each[0][6:10]):x}: response codes {what}"
        if not all(codes):
            raise Unlike(what)
        self.unlike.setdefault(what, self.log[-1])

    def _do(self, sent: Sent) -> None:
        rc, answers = self.execute(sent.raw)
        self.refused[rc] = self.refused.get(rc, 0) + 1
        code = number(sent.raw[0][6:10])
        if not rc and sent.raw[0][:2] != answers[0][:2]:
            raise Unlike("the tag of the answer")
        if not rc and code != sent.shape.code:
            shape = BY_CODE[code]
            sent = Sent(shape, [], [], sent.params, None, sent.raw, True)
        if not rc:
            self._answered(sent, answers)
        if code in _MAY_FLUSH and not rc:
            self.look_around()
        if code == _SHUTDOWN and not rc:  # what may follow is the maker's affair
            self._cycle(bytes(2))

    def _answered(self, sent: Sent, answers: Each) -> None:
        shape = sent.shape
        at = 14 if shape.gives_handle else 10
        same(tuple(each[10:at] for each in answers), "handles")
        if sent.spoilt:
            self._forget(number(sent.raw[0][10:14]))
            self.look_around()
            return
        bodies = tuple(each[at:] for each in answers)
        done = Done(
            shape.code,
            sent.handles,
            sent.names,
            sent.params,
            sent.uses or [],
            number(answers[0][10:at]),
        )
        spans, oks = bodies, None
        if sent.uses is not None:
            spans, oks = self._sessions(sent, bodies)
        done.fields = split(shape.results, spans)
        determined = self.world.determined(sent.handles)
        if "P" in shape.results:
            session = self.world.sessions.get(sent.handles[0])
            determined = session is not None and session.determined
        check(shape.results, done.fields, determined=determined)
        if shape.learn is not None:
            shape.learn(self.world, done)
        if oks is not None:
            self._judge(sent, oks, answers, at)
        self._refresh(sent)

    def _sessions(self, sent: Sent, bodies: Each) -> tuple[Each, list[Each]]:
        """Response parameters in clear; nonces roll on."""
        uses = sent.uses or []
        clear, areas = [], []
        for side, body in enumerate(bodies):
            size = number(body[:4])
            raw, rest = body[4 : 4 + size], body[4 + size :]
            answered = read_answers(rest, len(uses))
            for use, got in zip(uses, answered, strict=True):
                if use.session and use.attributes & ENCRYPT:
                    end = 2 + number(raw[:2])
                    nonces = got.nonce, use.nonce
                    shown = crypt(use, side, raw[2:end], nonces, decrypt=True)
                    raw = raw[:2] + shown + raw[end:]
                    break
            clear.append(raw)
            areas.append(rest)
        return tuple(clear), [tuple(areas)]

    def _judge(self, sent: Sent, areas: list[Each], answers: Each, at: int) -> None:
        """HMACs, attributes; the nonces of the next use."""
        uses = sent.uses or []
        per_side = [read_answers(raw, len(uses)) for raw in areas[0]]
        for position, use in enumerate(uses):
            got = [answered[position] for answered in per_side]
            same(tuple(bytes((each.attributes,)) for each in got), "attributes")
            fits = [
                self._fits(sent, use, each, answers[side][at:], side)
                for side, each in enumerate(got)
            ]
            if fits[0] != fits[-1]:
                raise Unlike(f"session {position + 1}: HMACs of answers {fits}")
            if use.session is None:
                continue
            use.session.nonces = tuple(each.nonce for each in got)
            if use.attributes & AUDIT:  # which ends its binding
                use.session.bound = None
            if not got[0].attributes & CONTINUE:
                self.world.sessions.pop(use.session.handle, None)
            elif use.session.kind == POLICY:
                use.session.needs_auth = use.session.needs_password = False
                use.session.determined = True

    def _fits(self, sent: Sent, use: Use, got: Answered, body: bytes, side: int) -> str:
        size = number(body[:4])
        raw = body[4 : 4 + size]
        auths = [use.auth or b"", b""]
        if sent.handles:
            auths.append(self.world.thing(sent.handles[0]).auth)
        found = [
            hmac_fits(sent.shape.code, use, got, raw, side, auth) for auth in auths
        ]
        if not any(found):
            raise Unlike(f"no HMAC of the answer fits: {found}, TPM {side}")
        return str(found)

    def _refresh(self, sent: Sent) -> None:
        """Names of NV indexes change as they are used."""
        for handle in {*sent.handles, *self.world.nv}:
            if handle >> 24 != 1 or handle not in self.world.nv:
                continue
            if sent.shape.code in (0x169, 0x14E, 0x149) or not (
                handle in sent.handles or sent.shape.code in (0x132, 0x12A)
            ):
                continue
            self._read_name(handle)

    def _read_name(self, handle: int) -> None:
        locality, self.world.locality = self.world.locality, 0
        rc, answers = self.execute(self._same(0x169, u32(handle)))
        self.world.locality = locality
        if rc:
            self.world.nv.pop(handle, None)
            return
        same(tuple(each[10:] for each in answers), "NV_ReadPublic")
        public = answers[0][12 : 12 + number(answers[0][10:12])]
        name = answers[0][14 + len(public) :]
        thing = self.world.nv[handle]
        thing.names = (name,) * len(self.sides)

    def _same(self, code: int, body: bytes) -> Each:
        raw = sized(u16(0x8001) + u32(0) + u32(code) + body)
        return (raw,) * len(self.sides)

    def _forget(self, handle: int) -> None:
        """A session with a policy that nobody here followed."""
        session = self.world.sessions.get(handle)
        if session is not None and session.kind == POLICY:
            self.execute(self._same(0x165, u32(handle)))

    def look_around(self) -> None:
        """Ask what there still is."""
        found: set[int] = set()
        for first in (0x01000000, 0x02000000, 0x03000000, 0x80000000, 0x81000000):
            body = u32(1) + u32(first) + u32(254)
            rc, answers = self.execute(self._same(0x17A, body))
            if rc:
                return
            same(answers, f"handles from 0x{first:08x}")
            raw = answers[0][19:]
            handles = {number(raw[at : at + 4]) for at in range(0, len(raw), 4)}
            found |= {
                each | 0x02000000 if first == 0x03000000 else each for each in handles
            }
        self.world.forget(found)
        for handle in sorted(self.world.nv):
            self._read_name(handle)

    def check_all(self) -> None:
        """Every PCR, every capability, every NV index: the same."""
        self.world.locality = 0
        for alg in (4, 11, 12, 13):
            for select in ("ff0000", "00ff00", "0000ff"):
                body = u32(1) + u16(alg) + b"\3" + bytes.fromhex(select)
                self._compared(0x17E, body, "PCRs")
        for cap in range(11):
            first = 0x200 if cap == 6 else 0
            self._compared(0x17A, u32(cap) + u32(first) + u32(254), f"capability {cap}")
        self.look_around()

    def _compared(self, code: int, body: bytes, what: str) -> None:
        rc, answers = self.execute(self._same(code, body))
        if rc:
            return
        if code == 0x17A:
            check("G", [tuple(each[10:] for each in answers)], determined=True)
        else:
            same(answers, what)

    def _power_cycle(self) -> None:
        dice = self.dice
        if dice.one_in(4):
            self._cycle(u16(0))
            return
        kind = dice.randrange(2)
        rc, _ = self.execute(self._same(0x145, u16(kind)))
        self._cycle(u16(dice.randrange(2) if kind and not rc else 0))

    def _cycle(self, kind: bytes) -> None:
        self.log.append("power cycle")
        for side in self.sides:
            side.power_off()
            side.power_on()
        if self.dice.one_in(4):
            self._hash_lines()
        self.world.locality = self.dice.mostly(
            0, lambda: self.dice.choice((3, 4, 1)), 6
        )
        rc, _ = self.execute(self._same(0x144, kind))
        if rc:
            self.execute(self._same(0x144, bytes(2)))
        self.world.restarted()
        self.world.locality = 0
        self.look_around()

    def _hash_lines(self) -> None:
        data = self.dice.randbytes(self.dice.randrange(70))
        self.log.append(f"hash start, {data.hex()}, end")
        for side in self.sides:
            side.hash_start()
            side.hash_data(data)
            side.hash_end()
