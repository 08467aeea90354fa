"""Structures good and bad, each answered as swtpm answered it (codes of Part 2)."""

from typing import Any

import pytest

from pefstack.hw.tpm import (
    buffers,
    context,
    interface_types,
    nv_public,
    public,
    scheme,
    sensitive,
    signature,
    structures,
    symmetric_def,
    ticket,
)
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.structures import Reader, Unmarshal
from tpm_kit import SIZE, vector

RECORDED = vector("swtpm_structures.json")
MODULES = (
    structures,
    interface_types,
    symmetric_def,
    scheme,
    buffers,
    public,
    sensitive,
    signature,
    ticket,
    nv_public,
    context,
)
UNMARSHAL: dict[str, Unmarshal[Any]] = {
    name: value
    for module in MODULES
    for name, value in vars(module).items()
    if name.startswith("TPM") and callable(value)
}


def answer(name: str, raw: str) -> int:
    """The response code, or zero; whatever follows the structure is left alone."""
    content = bytes.fromhex(raw)
    try:
        UNMARSHAL[name](Reader(content, 0, len(content), SIZE))
    except Refusal as refusal:
        return refusal.rc
    return 0


@pytest.mark.parametrize("name", RECORDED["rows"])
def test_refused_as_a_real_tpm_refuses(name: str) -> None:
    rows = RECORDED["rows"][name]
    ours = {raw: answer(name, raw) for raw in rows}
    different = {raw: (rows[raw], rc) for raw, rc in ours.items() if rc != rows[raw]}
    assert not different


def test_there_is_much_of_each_to_compare() -> None:
    rows = RECORDED["rows"].values()
    assert (len(rows), sum(map(len, rows)) > 3000) == (51, True)
    codes = {TpmRc(rc).name for each in rows for rc in each.values()}
    assert codes == {
        "SUCCESS",
        "CURVE",
        "HASH",
        "INSUFFICIENT",
        "KDF",
        "MODE",
        "RESERVED_BITS",
        "SCHEME",
        "SIZE",
        "SYMMETRIC",
        "TAG",
        "TYPE",
        "VALUE",
    }


@pytest.mark.parametrize(
    ("name", "raw", "theirs", "ours"),
    [tuple(row[:4]) for row in RECORDED["differences"]],
)
def test_where_we_differ_on_purpose(
    name: str, raw: str, theirs: int, ours: int
) -> None:
    """Algorithms not implemented, and a limit that is the object store's."""
    assert answer(name, raw) == ours != theirs
