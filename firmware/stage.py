"""What a boot stage is, and how one refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from pefstack.hw.board import Board
from pefstack.images.errors import PefError

Stage = Callable[[Board], "Stage | Shutdown | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown:
    """A stage ends the boot because its work needs a cold start; no failure."""

    reason: str


def stage_name(stage: Stage) -> str:
    """The name of a stage: the module that holds its `run`, without ``_start``."""
    module: str = stage.__module__
    return module.rpartition(".")[2].removesuffix("_start")


class Refusal(StrEnum):
    """Why a stage stops the boot; each has a test that provokes it."""

    SETTINGS_DIFFER = "settings-differ-from-fuses"
    SEEPROM_FORMAT = "seeprom-format"
    SIGNING_MODE = "signing-mode"
    TPM_REFUSED = "tpm-refused"
    TPM_REQUIRED = "tpm-required"
    CONTAINER_REJECTED = "container-rejected"
    SBE_REPORTED = "sbe-reported"
    SECONDARY_CHIP = "secondary-chip"
    PARTITION_TABLE = "partition-table"
    PARTITION_MISSING = "partition-missing"
    PARTITION_SIZE = "partition-size"
    ECC_UNCORRECTABLE = "ecc-uncorrectable"
    COMPONENT_ID = "component-id"
    CONTAINER_SIZE = "container-size"
    SW_KEY_COUNT = "sw-key-count"
    HBI_SALT = "hbi-salt"
    PAGE_HASH = "page-hash"
    KEY_TRANSITION = "key-transition"
    LOG_FULL = "log-full"
    LOG_BROKEN = "log-broken"
    HDAT_BROKEN = "hdat-broken"
    TPM_PROVISION = "tpm-provision"
    GUEST_IMAGES = "guest-images"


class BootFailure(PefError):
    """A stage refused to hand over.

    ``reason`` says what was found and expected, ``mend`` what to do. ``log`` is the
    64-bit log word where a container was rejected, else 0.
    """

    def __init__(
        self, stage: str, refusal: Refusal, reason: str, mend: str, log: int = 0
    ) -> None:
        super().__init__(stage, refusal, reason, mend, log)
        self.stage = stage
        self.refusal = refusal
        self.reason = reason
        self.mend = mend
        self.log = log

    def __str__(self) -> str:
        return f"{self.stage}: {self.refusal}: {self.reason}"
