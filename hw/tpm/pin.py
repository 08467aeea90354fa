"""PIN indexes: an authValue that counts its uses (Part 1, "PIN Pass/Fail Index")."""

from __future__ import annotations

from struct import Struct
from typing import Final

from pefstack.hw.tpm.codes import TpmaNv, TpmNt
from pefstack.hw.tpm.nv import NvIndex
from pefstack.hw.tpm.state import Internals

_PIN: Final = Struct(">II")  # TPMS_NV_PIN_COUNTER_PARAMETERS: pinCount, pinLimit


def check_pin(index: NvIndex) -> bool:
    """Whether the authValue may be tried: it is written, and its count not full."""
    if index.type not in (TpmNt.PIN_FAIL, TpmNt.PIN_PASS):
        return True
    count, limit = _PIN.unpack(index.data)
    return index.has(TpmaNv.WRITTEN) and bool(count < limit)


def count_pin(inner: Internals, index: NvIndex, *, good: bool) -> None:
    """PASS counts good uses; FAIL counts wrong ones, and a good one sets it to zero."""
    count, limit = _PIN.unpack(index.data)
    if index.type == TpmNt.PIN_PASS:
        changed = count + 1 if good else count
    else:
        changed = 0 if good else count + 1
    if changed != count:
        inner.state.nv.put(index.with_data(_PIN.pack(changed, limit)))
        inner.state.note_change()
