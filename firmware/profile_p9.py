"""The profile of POWER9 machines, as a real event log has it (boot-chain.md 3.4).

Nothing is verified or measured before Hostboot runs: HBI starts the TPM and measures
what went before it. Two banks; texts without NUL; PCR6 gets the node id and separators.
"""

from __future__ import annotations

from typing import Final

from pefstack.firmware.profile_row import ProfileTable, Row
from pefstack.images.event_log import (
    EV_ACTION,
    EV_COMPACT_HASH,
    EV_PLATFORM_CONFIG_FLAGS,
    EV_POST_CODE,
    EV_S_CRTM_CONTENTS,
    EV_SEPARATOR,
)
from pefstack.images.event_log_build import SEPARATOR_EVENT, TWO_BANKS

_CODE = EV_S_CRTM_CONTENTS
_FLAGS = EV_PLATFORM_CONFIG_FLAGS
_HASH = EV_COMPACT_HASH


def _hostboot(*rows: tuple[str, int, int, bytes]) -> tuple[Row, ...]:
    return tuple(("hostboot_ext", *row) for row in rows)


def _opal(*rows: tuple[str, int, bytes]) -> tuple[Row, ...]:
    return tuple(("opal", what, pcr, EV_ACTION, text) for what, pcr, text in rows)


def _separators(stage: str) -> tuple[Row, ...]:
    return tuple(
        (stage, "separator", pcr, EV_SEPARATOR, SEPARATOR_EVENT) for pcr in range(8)
    )


_ROWS: Final[tuple[Row, ...]] = (
    *_hostboot(
        ("hbb", 0, _CODE, b"HBB"),
        ("hbi", 0, _CODE, b"HBI"),
        ("hbd", 0, _CODE, b"HBD"),
        ("version", 0, EV_POST_CODE, b"VERSION"),
        ("security-switches", 1, _FLAGS, b"Security Switches"),
        ("pvr", 1, _FLAGS, b"PVR of Chip"),
        ("node-id", 1, _FLAGS, b"Node id"),
        ("node-id", 4, _HASH, b"Node id"),
        ("node-id", 5, _HASH, b"Node id"),
        ("node-id", 6, _HASH, b"Node id"),
        ("tpm-required", 1, _FLAGS, b"Tpm Required"),
        ("hw-key-hash", 1, _FLAGS, b"HW KEY HASH"),
        ("occ", 0, EV_POST_CODE, b"OCC"),
        ("memd", 0, EV_POST_CODE, b"MEMD"),
        ("sbkt", 0, EV_POST_CODE, b"SBKT"),
        ("sbe", 0, _CODE, b"SBE"),
        ("hbbl", 0, _CODE, b"HBBL"),
        ("hcode", 0, EV_POST_CODE, b"HCODE"),
        ("wofdata", 0, EV_POST_CODE, b"WOFDATA"),
        ("payload", 4, _HASH, b"PAYLOAD"),
        ("hbrt", 0, EV_POST_CODE, b"HBRT"),
    ),
    *_separators("hostboot_ext"),
    *_opal(
        ("version", 3, b"VERSION"),
        ("ima_catalog", 2, b"IMA_CATALOG"),
        ("capp", 2, b"CAPP"),
        ("bootkernel", 4, b"BOOTKERNEL"),
    ),
    *_separators("opal"),
)

P9: Final = ProfileTable(
    rows=_ROWS,
    banks=TWO_BANKS,
    loader_is_signed=False,
    sbe_measures=False,
    paged=("HBI", "SBE", "MEMD", "HCODE", "WOFDATA"),
    separator_banks={"hostboot_ext": TWO_BANKS[::-1]},
)
