"""Where firmware puts what in memory (project decisions but for the bases)."""

from __future__ import annotations

from typing import Final

from pefstack.hw.secure_memory import SECURE_BIT

HBB_ADDRESS: Final = 0x0800_0000  # hostboot's real HRMOR on node 0
HBI_ADDRESS: Final = 0x1000_0000
PAYLOAD_ADDRESS: Final = 0x3000_0000  # skiboot's real base

LOG_ADDRESS: Final = 0x2F00_0000  # Hostboot's own buffer
LOG_SIZE: Final = 7168  # boot-chain.md 4.1

CVC_ADDRESS: Final = 0x2F10_0000  # where the container verification code would be
CVC_SIZE: Final = 0x10000

DEVICE_TREE_ADDRESS: Final = 0x3060_0000  # in skiboot's real heap
DEVICE_TREE_SIZE: Final = 0x10000  # room for it

UV_TPM_ADDRESS: Final = SECURE_BIT | 0x0  # firmware's own part of secure memory
UV_TPM_SIZE: Final = 0x1000  # room for the hand-over to the ultravisor

HDAT_ADDRESS: Final = 0x3120_0000  # where skiboot has Hostboot put HDAT
HDAT_SIZE: Final = 0x80_0000
IPL_PARAMETERS_ADDRESS: Final = HDAT_ADDRESS
TPMREL_ADDRESS: Final = HDAT_ADDRESS + 0x1000
