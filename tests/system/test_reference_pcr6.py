"""PCR6 of the public reference, step by step through a boot, its digest injected.

The binary behind the third value is not public here, only its SHA-512 is: it stands in
the place of the computed one. Keys and settings are the reference's own.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from pefstack import Machine
from pefstack.firmware import sbe_immutable

VECTORS = Path(__file__).parent.parent / "vectors"
REFERENCE = json.loads(
    (VECTORS / "boot-chain" / "pcr" / "pcr6-reference.json").read_text()
)
CASES = sorted(REFERENCE["patent_fig7a_profile"])


@pytest.mark.parametrize("case", CASES)
def test_every_step_of_the_patents_pcr6(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    smd, pef = "jumper1" in case, "pef1" in case
    code = bytes.fromhex(REFERENCE["inputs"]["sb_verification_sha512"])
    injected = SimpleNamespace(digest=lambda: code)
    fake = SimpleNamespace(sha512=lambda _: injected)
    monkeypatch.setattr(sbe_immutable, "hashlib", fake)
    settings = [f"machine.chip.smd={smd}".lower(), f"machine.chip.pef-enable={pef}"]
    machine = Machine("small", settings=[each.lower() for each in settings]).run()
    steps = [
        (event.detail["digest"], event.detail["value"])
        for event in machine.journal
        if event.kind == "extend" and event.detail["pcr"] == 6
    ]
    rows = REFERENCE["patent_fig7a_profile"][case]
    assert steps == [(row["digest"], row["pcr_after"]) for row in rows]


def test_the_four_cases_are_there() -> None:
    assert CASES == ["jumper0_pef0", "jumper0_pef1", "jumper1_pef0", "jumper1_pef1"]
    keys = REFERENCE["inputs"]["hw_key_hash_sha512_imprint"]
    small = Machine("small")
    assert small.board.fuses.hw_key_hash.hex() == keys
    header = small.flash["PAYLOAD"].data[:4096]
    assert hashlib.sha512(header[30:426]).hexdigest() == keys
