"""Steps of IBM's programs (tests/suites/ibm): swtpm, and our server by both protocols.

Each program runs on all three at the same time; all must end as the step says, and
print or write the same where it says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ibm_kit import Lane, Step, steps, walk
from swtpm_kit import swtpm
from tpm_server_kit import serving

FOLDER = Path(__file__).parent.parent / "suites" / "ibm"
SCENARIOS = sorted(path.stem for path in FOLDER.glob("*.steps"))
pytestmark = pytest.mark.interop


@pytest.fixture
def lanes() -> Iterator[list[Lane]]:
    """Three TPMs just started, each with a folder of its own.

    The programs take no path of more than 127 characters: pytest's are too long.
    """
    with ExitStack() as stack:
        tmp_path = Path(stack.enter_context(TemporaryDirectory(prefix="ibm-")))
        made = [Lane("swtpm", "raw", stack.enter_context(swtpm(tmp_path)), tmp_path)]
        for protocol, kind in (("mssim", "mssim"), ("swtpm", "raw")):
            port = stack.enter_context(serving(startup=False)).port(protocol)
            made.append(Lane(f"ours by {protocol}", kind, port, tmp_path))
        made = [each.in_folder() for each in made]
        for lane in made:
            for number, verb in enumerate(("power", "startup")):
                assert lane.run(Step(number, (verb,), "ok", False))[0] == "ok"
        yield made


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str, lanes: list[Lane]) -> None:
    with ThreadPoolExecutor(len(lanes)) as pool:
        assert walk(FOLDER / f"{name}.steps", lanes, pool) == []


def test_what_is_not_as_the_step_says_is_told(
    lanes: list[Lane], tmp_path: Path
) -> None:
    scenario = tmp_path / "wrong.steps"
    scenario.write_text(
        "getrandom -by 8 -> 101\n= getrandom -by 8 -ns\nsame none\n"
        "clockset -hi o -time 5 -pwdp x\npcrread -> 9a2\nhex a 00\nequal a a\n"
    )
    with ThreadPoolExecutor(len(lanes)) as pool:
        told = walk(scenario, lanes, pool)
    by_line = [each.split()[0] for each in told]
    assert [by_line.count(f"wrong.steps:{line}") for line in range(1, 8)] == [
        *(3, 1, 3, 3, 3, 0, 0)
    ]
    ours = [each for each in told if "ours by mssim" in each]
    assert [each.rsplit("mssim ")[1] for each in ours] == [
        "ok, not 101",
        "no file none, not ok",
        "9a2, not ok",
        "tss, not 9a2",
    ]


def test_every_part_is_there() -> None:
    assert len(SCENARIOS) >= 20
    assert sum(len(steps(FOLDER / f"{name}.steps")) for name in SCENARIOS) > 900
