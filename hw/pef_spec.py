"""What a machine does for its ultravisor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pefstack.hw.mapping import SettingError, check_range
from pefstack.hw.memory import PAGE_SIZE
from pefstack.hw.secure_memory import DEFAULT_SIZE

PROVISIONS: Final = ("off", "real", "strict")
ESM_PROFILES: Final = ("strict", "real")
MAX_SECURE_MEMORY: Final = 1 << 40
FIRST_INDEX: Final = 0x0100_0000
LAST_INDEX: Final = 0x01FF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class PefSpec:
    """``provision``: how OPAL prepares the TPM at each boot (esm.md 4.1, 4.2).

    ``off``: not at all. ``real``: as published. ``strict``: with passwords hidden on
    the bus and their change bound to platform authority. ``nv_index`` is NV_Location_X.
    ``esm``: how strictly the ultravisor reads a guest's ESM blob (1.7).
    ``secure_memory``: bytes that only the ultravisor reaches.
    """

    provision: str = "off"
    nv_index: int = 0x01C1_01A0
    esm: str = "strict"
    secure_memory: int = DEFAULT_SIZE

    def __post_init__(self) -> None:
        if self.provision not in PROVISIONS:
            there = ", ".join(PROVISIONS)
            raise SettingError(
                "provision", f"found {self.provision!r}, expected {there}"
            )
        if self.esm not in ESM_PROFILES:
            there = ", ".join(ESM_PROFILES)
            raise SettingError("esm", f"found {self.esm!r}, expected {there}")
        check_range("secure-memory", self.secure_memory, MAX_SECURE_MEMORY)
        if self.secure_memory < PAGE_SIZE or self.secure_memory % PAGE_SIZE:
            found = f"found 0x{self.secure_memory:x}, expected whole 64 KiB pages"
            raise SettingError("secure-memory", found)
        check_range("nv-index", self.nv_index, LAST_INDEX)
        if self.nv_index < FIRST_INDEX:
            found, least = f"found 0x{self.nv_index:x}", f"0x{FIRST_INDEX:x}"
            raise SettingError("nv-index", f"{found}, expected at least {least}")
