"""docs/ultravisor.md says what the ultravisor's tables say."""

from __future__ import annotations

import re

from pefstack.firmware.ultravisor.calls import CALLS, NOT_MODELLED
from pefstack.firmware.ultravisor.codes import UvCall
from pefstack.firmware.ultravisor.esm import STEPS
from pefstack.firmware.ultravisor.esm_refusal import EsmRefusal
from pefstack.firmware.ultravisor.mend import mend
from pefstack.images.esm_blob_refusal import BlobRefusal
from pefstack.images.esm_refusal import OperandRefusal
from test_docs import section, table

PAGE = "ultravisor.md"


def test_every_step_and_refusal() -> None:
    assert [int(row["step"]) for row in table(PAGE, "UV_ESM")] == [*STEPS]
    lines = [line for line in section(PAGE, "UV_ESM").splitlines() if line[:1] == "|"]
    named = {name for line in lines for name in re.findall(r"`([^`]+)`", line)}
    ours = {str(each) for each in EsmRefusal if each is not EsmRefusal.TERMINATED}
    assert {each for each in named if each[1] != "_"} == ours
    whole = {each for each in named if each[:2] in ("E_", "B_")} - {"B_"}
    assert whole <= {*map(str, OperandRefusal), *map(str, BlobRefusal)}


def test_what_to_do_about_each_refusal() -> None:
    rows = table(PAGE, "Refusals")
    words = [(row["refusal"], row["what to do"]) for row in rows]
    known = [(str(each), mend(str(each)).replace("`", "")) for each in EsmRefusal]
    assert words == known
    for name in (*OperandRefusal, *BlobRefusal):
        assert mend(str(name))


def test_every_ultra_call() -> None:
    rows = table(PAGE, "Ultra-calls")
    numbers = {int(row["number"], 16): row for row in rows}
    assert [*numbers] == [*UvCall]
    partly = (*NOT_MODELLED, UvCall.PAGE_OUT, UvCall.PAGE_INVAL)
    for call in UvCall:
        row, known = numbers[call], CALLS.get(call)
        assert row["call"] == call.name
        assert row["caller"] == (known.who.value if known else "guest")
        assert row["modelled"].startswith("no") is (call in partly)
