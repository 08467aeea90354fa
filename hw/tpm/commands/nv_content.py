"""NV_Read, NV_Write, NV_Increment, NV_Extend, NV_SetBits (Part 3)."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.buffers import TPM2B_MAX_NV_BUFFER
from pefstack.hw.tpm.codes import MAX_NV_BUFFER_SIZE, TpmaNv, TpmCc, TpmNt
from pefstack.hw.tpm.command import AuthRole, Command, Handle, Parameter
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.handles import TPMI_RH_NV_AUTH, TPMI_RH_NV_INDEX
from pefstack.hw.tpm.nv import NvIndex
from pefstack.hw.tpm.nv_access import check_read, check_write
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import UINT16, UINT64, put_tpm2b

_NV_INDEX: Final = 2 * RC_1
_UNWRITTEN: Final = b"\xff"  # what a first write leaves out
_COUNT_SIZE: Final = 8
_PLAIN_TYPES: Final = (TpmNt.ORDINARY, TpmNt.PIN_FAIL, TpmNt.PIN_PASS)


def nv_read(
    inner: Internals, authorizing: Any, index: NvIndex, size: int, offset: int
) -> tuple[bytes]:
    """``size`` bytes from ``offset`` on."""
    check_read(authorizing, index)
    if size > MAX_NV_BUFFER_SIZE:
        raise Refusal(TpmRc.VALUE + RC_P + RC_1)
    if offset > index.public.data_size:
        raise Refusal(TpmRc.VALUE + RC_P + 2 * RC_1)
    if size > index.public.data_size - offset:
        raise Refusal(TpmRc.NV_RANGE)
    return (index.data[offset : offset + size],)


def nv_write(
    inner: Internals, authorizing: Any, index: NvIndex, data: bytes, offset: int
) -> tuple[()]:
    """Overwrite a part of an ordinary index, or all of it where WRITEALL says so."""
    check_write(authorizing, index)
    if index.type not in _PLAIN_TYPES:
        raise Refusal(TpmRc.ATTRIBUTES)
    if offset > index.public.data_size:
        raise Refusal(TpmRc.VALUE + RC_P + 2 * RC_1)
    room = index.public.data_size - offset
    if len(data) > room:
        raise Refusal(TpmRc.NV_RANGE)
    if index.has(TpmaNv.WRITEALL) and len(data) < index.public.data_size:
        raise Refusal(TpmRc.NV_RANGE)
    content = index.data if index.has(TpmaNv.WRITTEN) else _UNWRITTEN * len(index.data)
    changed = content[:offset] + data + content[offset + len(data) :]
    _store(inner, index, changed)
    return ()


def nv_increment(inner: Internals, authorizing: Any, index: NvIndex) -> tuple[()]:
    """One more; the first time one more than any counter of this TPM ever had."""
    check_write(authorizing, index)
    _check_type(index, TpmNt.COUNTER)
    nv = inner.state.nv
    written = index.has(TpmaNv.WRITTEN)
    count = int.from_bytes(index.data, "big") if written else nv.highest_count
    count += 1
    nv.highest_count = max(nv.highest_count, count)
    _store(inner, index, count.to_bytes(_COUNT_SIZE, "big"))
    return ()


def nv_extend(
    inner: Internals, authorizing: Any, index: NvIndex, data: bytes
) -> tuple[()]:
    """H(old || data), from zeros on."""
    check_write(authorizing, index)
    _check_type(index, TpmNt.EXTEND)
    old = index.data if index.has(TpmaNv.WRITTEN) else bytes(len(index.data))
    _store(inner, index, digest(index.public.name_alg, old, data))
    return ()


def nv_set_bits(
    inner: Internals, authorizing: Any, index: NvIndex, bits: int
) -> tuple[()]:
    """The old bits and the new ones."""
    check_write(authorizing, index)
    _check_type(index, TpmNt.BITS)
    old = int.from_bytes(index.data, "big") if index.has(TpmaNv.WRITTEN) else 0
    _store(inner, index, (old | bits).to_bytes(_COUNT_SIZE, "big"))
    return ()


def _check_type(index: NvIndex, wanted: TpmNt) -> None:
    if index.type != wanted:
        raise Refusal(TpmRc.ATTRIBUTES + _NV_INDEX)


def _store(inner: Internals, index: NvIndex, data: bytes) -> None:
    inner.state.nv.put(index.with_data(data))
    inner.state.note_change()
    inner.journal.add("tpm", "nv-write", index=f"0x{index.handle:08x}")


def _command(code: TpmCc, action: Any, *parameters: Parameter, **more: Any) -> Command:
    """What all of them have: who authorizes, and the index."""
    return Command(
        code=code,
        action=action,
        handles=(
            Handle(name="authHandle", type=TPMI_RH_NV_AUTH),
            Handle(name="nvIndex", type=TPMI_RH_NV_INDEX, role=AuthRole.NONE),
        ),
        parameters=parameters,
        **more,
    )


_SIZE: Final = Parameter(name="size", unmarshal=UINT16)
_OFFSET: Final = Parameter(name="offset", unmarshal=UINT16)
_DATA: Final = Parameter(name="data", unmarshal=TPM2B_MAX_NV_BUFFER)
_BITS: Final = Parameter(name="bits", unmarshal=UINT64)
COMMANDS: Final = (
    _command(
        TpmCc.NV_READ, nv_read, _SIZE, _OFFSET, results=(put_tpm2b,), encrypts=True
    ),
    _command(TpmCc.NV_WRITE, nv_write, _DATA, _OFFSET, writes_nv=True, decrypts=True),
    _command(TpmCc.NV_INCREMENT, nv_increment, writes_nv=True),
    _command(TpmCc.NV_EXTEND, nv_extend, _DATA, writes_nv=True, decrypts=True),
    _command(TpmCc.NV_SET_BITS, nv_set_bits, _BITS, writes_nv=True),
)
