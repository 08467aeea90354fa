"""A case is a seed and which of its steps are done; a failing one is cut down."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from lockstep.dice import Dice
from lockstep.driver import CaseEnds, Driver
from lockstep.pair import Side
from lockstep.results import Unlike

Sides = Callable[[], AbstractContextManager[list[Side]]]


@dataclass
class Difference:
    """Where and how the TPMs part."""

    seed: int
    steps: list[int]
    what: str
    last: str

    def __str__(self) -> str:
        return f"seed {self.seed}, steps {self.steps}: {self.what}\n{self.last}"


def run(
    sides: Sides, seed: int, steps: Iterable[int]
) -> tuple[Driver, Difference | None]:
    """These steps of a seed, on new TPMs; how they differ, if they do."""
    done: list[int] = []
    with sides() as made:
        driver = Driver(made, Dice(seed))
        try:
            driver.start()
            for step in steps:
                done.append(step)
                driver.step(Dice(f"{seed}/{step}"))
            driver.check_all()
        except CaseEnds:
            return driver, None
        except Unlike as unlike:
            return driver, Difference(
                seed, done, str(unlike), "\n".join(driver.log[-12:])
            )
    if driver.unlike:
        return driver, Difference(seed, done, *next(iter(driver.unlike.items())))
    return driver, None


def shrunk(sides: Sides, found: Difference, tries: int = 60) -> Difference:
    """The same difference after fewer steps, as far as so many tries get."""
    size = max(1, len(found.steps) // 2)
    while size and tries:
        for start in range(0, len(found.steps) - 1, size):
            tries -= 1
            fewer = found.steps[:start] + found.steps[start + size :]
            again = run(sides, found.seed, fewer)[1]
            if again is not None and again.what == found.what:
                found = again
                break
            if not tries:
                break
        else:
            size //= 2
    return found
