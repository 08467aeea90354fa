"""NV indexes: their public areas, values and locks (tpm.md 5; Part 1, "NV Memory")."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from pefstack.hw.tpm.codes import TpmaNv, TpmCc, TpmNt
from pefstack.hw.tpm.names import nv_name

if TYPE_CHECKING:
    from pefstack.hw.tpm.nv_public import NvPublic

NV_SPACE: Final = 0x10000  # bytes of all indexes together
ORDERLY_COUNT: Final = 0xFF  # counts between two that are saved (TPM_PT_ORDERLY_COUNT)
NV_OVERHEAD: Final = 0x100  # taken by one index beside its data
WRITE_COMMANDS: Final = frozenset(
    (
        TpmCc.NV_WRITE,
        TpmCc.NV_INCREMENT,
        TpmCc.NV_SET_BITS,
        TpmCc.NV_EXTEND,
        TpmCc.NV_WRITE_LOCK,
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NvIndex:
    """One index; a change makes another value of it.

    ``data`` is its content as NV_Read gives it, ``data_size`` bytes of zeros before the
    first write. ``name`` follows from the public area, its state bits among it.
    """

    public: NvPublic
    auth_value: bytes = field(repr=False)
    data: bytes = field(repr=False)
    name: bytes

    @classmethod
    def define(cls, public: NvPublic, auth_value: bytes) -> NvIndex:
        """An index that was never written."""
        data = bytes(public.data_size)
        name = nv_name(public)
        return cls(public=public, auth_value=auth_value, data=data, name=name)

    @property
    def handle(self) -> int:
        """The index number, which is its handle."""
        return self.public.index

    @property
    def type(self) -> int:
        """TPM_NT: ordinary, counter, bits, extend, pin fail, pin pass."""
        return self.public.nv_type

    @property
    def auth_policy(self) -> bytes:
        """The policy digest, or empty."""
        return self.public.auth_policy

    @property
    def policy_alg(self) -> int:
        """The hash of the policy: that of the Name."""
        return self.public.name_alg

    @property
    def is_da_protected(self) -> bool:
        """Whether a wrong authValue counts as a guess; PIN indexes count themselves."""
        no_da = self.public.attributes & TpmaNv.NO_DA
        return not no_da and self.type not in (TpmNt.PIN_FAIL, TpmNt.PIN_PASS)

    def has(self, attribute: int) -> bool:
        """Whether an attribute is set."""
        return bool(self.public.attributes & attribute)

    def allows_auth_value(self, command_code: int) -> bool:
        """AUTHWRITE for commands that write, AUTHREAD for all others."""
        wanted = TpmaNv.AUTHWRITE if command_code in WRITE_COMMANDS else TpmaNv.AUTHREAD
        return self.has(wanted)

    def allows_policy(self, command_code: int) -> bool:
        """POLICYWRITE for commands that write, POLICYREAD for all others."""
        write = command_code in WRITE_COMMANDS
        return self.has(TpmaNv.POLICYWRITE if write else TpmaNv.POLICYREAD)

    def with_attributes(self, *, set_: int = 0, clear: int = 0) -> NvIndex:
        """The index with other state bits, and the Name that goes with them."""
        attributes = self.public.attributes & ~clear | set_
        if attributes == self.public.attributes:
            return self
        public = replace(self.public, attributes=attributes)
        return replace(self, public=public, name=nv_name(public))

    def with_auth_value(self, auth_value: bytes) -> NvIndex:
        """The index with another authValue, which is not in its Name."""
        return replace(self, auth_value=auth_value)

    def with_data(self, data: bytes) -> NvIndex:
        """The index after a write: its data, and WRITTEN."""
        return replace(self.with_attributes(set_=TpmaNv.WRITTEN), data=data)


class NvStore:
    """All indexes by handle, and the highest count that any counter ever had."""

    __slots__ = ("by_handle", "highest_count")

    def __init__(self) -> None:
        self.by_handle: dict[int, NvIndex] = {}
        self.highest_count = 0

    def put(self, index: NvIndex) -> None:
        """Define an index, or replace it by its changed self."""
        self.by_handle[index.handle] = index

    def has_room(self, size: int) -> bool:
        """Whether an index of this size fits beside the others."""
        used = sum(each.public.data_size for each in self.by_handle.values())
        used += NV_OVERHEAD * (len(self.by_handle) + 1)
        return used + size <= NV_SPACE

    def remove_owners(self) -> None:
        """Clear: what the owner defined goes, what the platform defined stays."""
        for handle, index in list(self.by_handle.items()):
            if not index.has(TpmaNv.PLATFORMCREATE):
                del self.by_handle[handle]

    def startup(self, *, is_reset: bool, is_orderly: bool) -> None:
        """Startup(CLEAR): locks of one boot go, CLEAR_STCLEAR ones are unwritten.

        So are orderly ones by a TPM Reset. An orderly counter without a Shutdown
        before goes on beyond all that it may have shown.
        """
        for index in list(self.by_handle.values()):
            changed = _started(index, is_reset=is_reset)
            if changed.type == TpmNt.COUNTER and not is_orderly:
                changed = self._skipped(changed)
            if changed is not index:
                self.put(changed)

    def _skipped(self, counter: NvIndex) -> NvIndex:
        if not (counter.has(TpmaNv.ORDERLY) and counter.has(TpmaNv.WRITTEN)):
            return counter
        count = int.from_bytes(counter.data, "big") | ORDERLY_COUNT
        self.highest_count = max(self.highest_count, count)
        return counter.with_data(count.to_bytes(len(counter.data), "big"))

    def fork(self) -> NvStore:
        """An independent copy; indexes never change, so they are shared."""
        copy = NvStore()
        copy.by_handle = dict(self.by_handle)
        copy.highest_count = self.highest_count
        return copy


def _started(index: NvIndex, *, is_reset: bool) -> NvIndex:
    clear = 0
    if index.has(TpmaNv.READ_STCLEAR):
        clear |= TpmaNv.READLOCKED
    if index.type != TpmNt.COUNTER and (
        index.has(TpmaNv.CLEAR_STCLEAR) or (is_reset and index.has(TpmaNv.ORDERLY))
    ):
        clear |= TpmaNv.WRITTEN
    stays_written = index.has(TpmaNv.WRITTEN) and not clear & TpmaNv.WRITTEN
    if not (stays_written and index.has(TpmaNv.WRITEDEFINE)):
        clear |= TpmaNv.WRITELOCKED
    return index.with_attributes(clear=clear)
