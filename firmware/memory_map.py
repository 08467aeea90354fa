"""Where firmware puts what in memory (project decisions but for the two bases)."""

from __future__ import annotations

from typing import Final

HBB_ADDRESS: Final = 0x0800_0000  # hostboot's real HRMOR on node 0
HBI_ADDRESS: Final = 0x1000_0000
PAYLOAD_ADDRESS: Final = 0x3000_0000  # skiboot's real base
LOG_ADDRESS: Final = 0x2F00_0000
LOG_SIZE: Final = 0x10000  # 64 KiB when handed over (boot-chain.md 4.1)
