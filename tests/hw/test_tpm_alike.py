"""Any commands, then a fork, or state saved and restored: both go on alike."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lockstep.dice import Dice
from lockstep.driver import CaseEnds, Driver
from lockstep.pair import Side
from lockstep.world import World
from pefstack.hw.entropy import Clock, Entropy
from pefstack.hw.journal import Journal
from pefstack.hw.tpm.engine import Tpm
from tpm_kit import ALL_BANKS, STARTUP_CLEAR, off_tpm, rc_of, whole_state

SEEDS = st.integers(0, 10_000)


class TpmLife(RuleBasedStateMachine):
    """One TPM, commands at random, copies of it now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.tpm, _, self.clock = off_tpm(banks=ALL_BANKS, allocated=ALL_BANKS)

    @initialize(seed=SEEDS)
    def begin(self, seed: int) -> None:
        self.driver = Driver([self.tpm], Dice(f"begin {seed}"))
        self.driver.start()
        self.clock.now = 60_000

    @rule(seed=SEEDS, count=st.integers(1, 12))
    def work(self, seed: int, count: int) -> None:
        self._steps(self.driver, seed, count)

    @rule(seed=SEEDS)
    def fork_goes_on_alike(self, seed: int) -> None:
        """The same bytes, secrets and all; and the original goes on after it."""
        copy = self.tpm.fork(Journal())
        before = whole_state(self.tpm)
        self._steps(_driver([copy], self.driver.world, seed), seed, 6)
        assert whole_state(self.tpm) == before
        copy = self.tpm.fork(Journal())
        first, second = Recording(copy), Recording(self.tpm)
        for side in (first, second):
            self._steps(_driver([side], self.driver.world, seed), seed, 6)
        assert first.answers == second.answers
        self._look()

    @rule(seed=SEEDS)
    def restored_state_is_what_a_power_cycle_keeps(self, seed: int) -> None:
        cycled = self.tpm.fork(Journal())
        cycled.power_off()
        clock = Clock(self.clock.now)
        restored = Tpm(
            Entropy("another", "tpm"),
            clock,
            Journal(),
            banks=ALL_BANKS,
            allocated=ALL_BANKS,
        )
        restored.restore_state(self.tpm.save_state())
        sides = [cycled, restored]
        for side in sides:
            side.power_on()
            assert rc_of(side.execute(STARTUP_CLEAR)) == 0
        both = _driver([*sides], self.driver.world, seed)
        both.world.restarted()
        both.check_all()
        self._steps(both, seed, 8)
        both.check_all()

    @invariant()
    def saved_state_does_not_change_anything(self) -> None:
        before = whole_state(self.tpm)
        assert self.tpm.save_state() == self.tpm.save_state()
        assert whole_state(self.tpm) == before

    def _steps(self, driver: Driver, seed: int, count: int) -> None:
        for step in range(count):
            try:
                driver.step(Dice(f"{seed}/{step}"))
            except CaseEnds:
                return

    def _look(self) -> None:
        """The driver of the original catches up."""
        self.driver.world.sessions.clear()
        self.driver.look_around()


class Recording(Tpm):
    """A TPM whose answers are kept."""

    __slots__ = ("answers",)

    def __init__(self, tpm: Tpm) -> None:
        self._inner = tpm._inner
        self.answers: list[bytes] = []

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        answer = super().execute(command, locality)
        self.answers.append(answer)
        return answer


def _driver(sides: list[Side], known: World, seed: int) -> Driver:
    """A driver that knows the authValues that are known."""
    driver = Driver(sides, Dice(f"copy {seed}"))
    world = driver.world
    for name in ("hierarchies", "pcrs", "nv", "objects"):
        things = getattr(known, name).items()
        copied = {
            handle: replace(each, names=each.names[:1] * len(sides))
            for handle, each in things
        }
        setattr(world, name, copied)
    return driver


TestTpmLife = TpmLife.TestCase
