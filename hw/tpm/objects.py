"""Loaded and persistent objects (Part 1, "Object Structure", "Handles")."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pefstack.hw.tpm.codes import TpmAlgId, TpmaObject, TpmRh
from pefstack.hw.tpm.response_codes import Refusal, TpmRc

if TYPE_CHECKING:
    from pefstack.hw.tpm.public import Public
    from pefstack.hw.tpm.sensitive import Sensitive

FIRST_TRANSIENT: Final = 0x8000_0000
FIRST_PERSISTENT: Final = 0x8100_0000
FIRST_PLATFORM_PERSISTENT: Final = 0x8180_0000
LAST_PERSISTENT: Final = 0x81FF_FFFF
MAX_PERSISTENT: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmObject:
    """A key or data object that is loaded: it never changes, only its slot does.

    ``sensitive`` is None for a public area alone. ``hierarchy`` is a TPM_RH.
    ``external``: loaded by LoadExternal, so it is nobody's child. ``below_st_clear``: a
    parent, or one of theirs, has stClear.
    """

    public: Public
    sensitive: Sensitive | None = field(repr=False)
    name: bytes
    qualified_name: bytes
    hierarchy: int
    external: bool = False
    below_st_clear: bool = False

    @property
    def auth_value(self) -> bytes:
        """The authValue; empty for a public area alone."""
        return self.sensitive.auth_value if self.sensitive else b""

    @property
    def auth_policy(self) -> bytes:
        """The policy digest, of the size of the Name's hash, or empty."""
        return self.public.auth_policy

    @property
    def policy_alg(self) -> int:
        """The hash of the policy: that of the Name."""
        return self.public.name_alg

    @property
    def is_da_protected(self) -> bool:
        """Whether a wrong authValue counts as a guess."""
        return not self.public.attributes & TpmaObject.NO_DA

    @property
    def is_st_clear(self) -> bool:
        """Whether it may not live on after the next Startup(CLEAR)."""
        own = self.public.attributes & TpmaObject.ST_CLEAR
        return self.below_st_clear or bool(own)

    @property
    def is_parent(self) -> bool:
        """A whole storage key: restricted, decrypting, of a type with a cipher."""
        return self.sensitive is not None and self.public.is_storage

    @property
    def is_derivation_parent(self) -> bool:
        """A whole key that others are derived from: KEYEDHASH, else like a parent."""
        keyed = self.public.type == TpmAlgId.KEYEDHASH
        return self.sensitive is not None and keyed and self.public.protects


@dataclass(slots=True, kw_only=True)
class Sequence:
    """A hash, HMAC or event sequence in a transient slot.

    ``hashes`` are running computations by algorithm. ``is_safe`` says that the message
    does not begin like an attestation; None before its first block.
    """

    auth_value: bytes = field(repr=False)
    hashes: dict[int, Any] = field(repr=False)
    kind: str  # "hash", "hmac", "event"
    is_safe: bool | None = None
    hierarchy: int = int(TpmRh.NULL)
    name: bytes = b""
    auth_policy: bytes = b""
    policy_alg: int = int(TpmAlgId.NULL)
    is_da_protected: bool = False
    is_st_clear: bool = False

    def fork(self) -> Sequence:
        """The same computation, to be continued on its own."""
        hashes = {alg: each.copy() for alg, each in self.hashes.items()}
        return Sequence(
            auth_value=self.auth_value,
            hashes=hashes,
            kind=self.kind,
            is_safe=self.is_safe,
            hierarchy=self.hierarchy,
        )


Loadable = TpmObject | Sequence


class ObjectStore:
    """Transient slots and persistent objects, by handle."""

    __slots__ = ("borrowed", "persistent", "slot_count", "transient")

    def __init__(self, slot_count: int) -> None:
        self.slot_count: Final = slot_count
        self.transient: dict[int, Loadable] = {}
        self.persistent: dict[int, TpmObject] = {}
        self.borrowed = 0  # slots of the present command's persistent objects

    def check_room(self) -> None:
        """TPM_RC_OBJECT_MEMORY when every slot is taken."""
        if len(self.transient) + self.borrowed >= self.slot_count:
            raise Refusal(TpmRc.OBJECT_MEMORY)

    def make_room(self) -> None:
        """Free the first slot when there is none: a hash sequence needs one."""
        if len(self.transient) >= self.slot_count:
            del self.transient[min(self.transient)]

    def borrow(self) -> None:
        """A slot for a persistent object, as long as a command uses it."""
        self.check_room()
        self.borrowed += 1

    def load(self, loadable: Loadable) -> int:
        """Put something into the first slot that is free and not borrowed."""
        self.check_room()
        free = [each for each in self._slots() if each not in self.transient]
        handle = free[self.borrowed]
        self.transient[handle] = loadable
        return handle

    def flush(self, handle: int) -> None:
        """Free a slot; nothing happens when it is free."""
        self.transient.pop(handle, None)

    def flush_all(self) -> None:
        """Free every slot: what Startup finds after a loss of power."""
        self.transient.clear()

    def flush_hierarchy(self, hierarchy: int) -> None:
        """What Clear and a disabled hierarchy do: its loaded objects go."""
        for handle, each in list(self.transient.items()):
            if each.hierarchy == hierarchy:
                del self.transient[handle]

    def remove_persistent(self, hierarchy: int) -> None:
        """Forget the persistent objects of a hierarchy whose seed has changed."""
        for handle, each in list(self.persistent.items()):
            if each.hierarchy == hierarchy:
                del self.persistent[handle]

    def fork(self) -> ObjectStore:
        """An independent copy; objects never change, so they are shared."""
        copy = ObjectStore(self.slot_count)
        copy.persistent = dict(self.persistent)
        copy.transient = {
            handle: each.fork() if isinstance(each, Sequence) else each
            for handle, each in self.transient.items()
        }
        return copy

    def _slots(self) -> Iterator[int]:
        return iter(range(FIRST_TRANSIENT, FIRST_TRANSIENT + self.slot_count))
