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


def test_every_part_is_there() -> None:
    assert len(SCENARIOS) >= 20
    assert sum(len(steps(FOLDER / f"{name}.steps")) for name in SCENARIOS) > 900
