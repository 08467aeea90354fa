"""What a machine is, before it is switched on: a mapping and bytes become a `Board`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pefstack.hw.board import Board
from pefstack.hw.chip import Chip
from pefstack.hw.entropy import Clock, Entropy
from pefstack.hw.flash import Content, Flash
from pefstack.hw.fuses import Fuses
from pefstack.hw.journal import Journal
from pefstack.hw.mapping import SettingError, check_range, from_mapping, to_mapping
from pefstack.hw.memory import Memory
from pefstack.hw.seeprom import Seeprom
from pefstack.hw.tpm.codes import BANK_NAME
from pefstack.hw.tpm.engine import Tpm
from pefstack.hw.tpm.faulty import FaultyTpm

ALGORITHM_BY_NAME: Final = {name: algorithm for algorithm, name in BANK_NAME.items()}
MEMORY_SIZE: Final = 4 << 30
PCR_COUNT: Final = 24
HW_KEY_HASH_SIZE: Final = 64
PVR_POWER10: Final = 0x00800200
MAX_FURTHER_TEXT_SIZE: Final = 1024
MAX_FURTHER_VALUE_SIZE: Final = 64
VERIFY_POLICIES: Final = ("fail-closed", "record", "record-only")
_STAGES_THAT_EXTEND_MORE: Final = ("hostboot_ext", "opal")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipSpec:
    """The processor: ``smd`` True is the jumper asking for security OFF."""

    smd: bool = False
    pef_enable: bool = True
    pvr: int = PVR_POWER10
    node_id: int = 0

    def __post_init__(self) -> None:
        check_range("pvr", self.pvr, 0xFFFF_FFFF)
        check_range("node-id", self.node_id, 0xFFFF_FFFF_FFFF_FFFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class FusesSpec:
    """The root of trust: SHA-512 of the hardware keys in hex, and two bytes."""

    hw_key_hash: bytes
    minimum_secure_version: int = 0
    signing_mode: int = 0

    def __post_init__(self) -> None:
        if len(self.hw_key_hash) != HW_KEY_HASH_SIZE:
            found = f"found {len(self.hw_key_hash)} bytes"
            raise SettingError("hw-key-hash", f"{found}, expected 64")
        check_range("minimum-secure-version", self.minimum_secure_version, 0xFF)
        check_range("signing-mode", self.signing_mode, 0xFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmSpec:
    """The TPM: everything random in it follows from ``seed``.

    ``dies_at`` is a fault: the number of the command, from 1, at which it loses its
    power for good; 0 is a healthy one.
    """

    seed: str = "pefstack"
    banks: tuple[str, ...] = ("sha1", "sha256", "sha384")
    allocated: tuple[str, ...] = ("sha256",)
    required: bool = True
    dies_at: int = 0

    def __post_init__(self) -> None:
        check_range("dies-at", self.dies_at, 0xFFFF)
        _check_banks("banks", self.banks, tuple(ALGORITHM_BY_NAME))
        _check_banks("allocated", self.allocated, self.banks)


@dataclass(frozen=True, slots=True, kw_only=True)
class FurtherSpec:
    """One more value for the boot policy's PCR (checklist P8): a text and hex bytes."""

    text: str
    value: bytes
    stage: str = "opal"

    def __post_init__(self) -> None:
        if self.stage not in _STAGES_THAT_EXTEND_MORE:
            there = " or ".join(_STAGES_THAT_EXTEND_MORE)
            raise SettingError("stage", f"found {self.stage!r}, expected {there}")
        check_range("text size", len(self.text.encode()), MAX_FURTHER_TEXT_SIZE)
        check_range("value size", len(self.value), MAX_FURTHER_VALUE_SIZE)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureSpec:
    """What is measured: the profile, the boot policy's PCR, further values in it."""

    profile: str = "patent"
    pcr: int = 6
    further: tuple[FurtherSpec, ...] = ()

    def __post_init__(self) -> None:
        check_range("pcr", self.pcr, PCR_COUNT - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySpec:
    """What follows a rejection while security is on.

    ``fail-closed``: the stage refuses. ``record``: as the real SBE, which records the
    status and goes on; Hostboot ends the boot later. ``record-only``: nobody ends it,
    as if the code that should were the attacker's.
    """

    policy: str = "fail-closed"

    def __post_init__(self) -> None:
        if self.policy not in VERIFY_POLICIES:
            there = ", ".join(VERIFY_POLICIES)
            raise SettingError("policy", f"found {self.policy!r}, expected {there}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSpec:
    """Known defects of real firmware, switched on.

    ``opal_log_strlen``: OPAL writes digests into the log up to their first zero byte.
    """

    opal_log_strlen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSpec:
    """A machine without its images; `to_mapping` and `from_mapping` are inverse."""

    fuses: FusesSpec
    chip: ChipSpec = field(default_factory=ChipSpec)
    tpm: TpmSpec = field(default_factory=TpmSpec)
    measure: MeasureSpec = field(default_factory=MeasureSpec)
    verify: VerifySpec = field(default_factory=VerifySpec)
    fault: FaultSpec = field(default_factory=FaultSpec)

    @classmethod
    def from_mapping(cls, table: Mapping[str, Any]) -> MachineSpec:
        """From the ``[machine]`` table of a machine file; raises `SettingError`."""
        return from_mapping(cls, table, "machine")

    def to_mapping(self) -> dict[str, Any]:
        """The ``[machine]`` table that gives this value again."""
        return to_mapping(self)

    def build(
        self, name: str, flash: Content, seeprom: bytes, measurement_seeprom: bytes
    ) -> Board:
        """Wire the devices into a board that is switched off."""
        journal = Journal()
        clock = Clock()
        chip = self.chip
        return Board(
            name=name,
            spec=self,
            journal=journal,
            clock=clock,
            fuses=Fuses(
                hw_key_hash=self.fuses.hw_key_hash,
                minimum_secure_version=self.fuses.minimum_secure_version,
                signing_mode=self.fuses.signing_mode,
            ),
            chip=Chip(
                smd=chip.smd,
                pef_enable=chip.pef_enable,
                pvr=chip.pvr,
                node_id=chip.node_id,
            ),
            seeprom=Seeprom(seeprom, locked=False),
            measurement_seeprom=Seeprom(measurement_seeprom, locked=True),
            flash=Flash(flash, journal),
            memory=Memory(MEMORY_SIZE),
            tpm=_tpm(self.tpm, clock, journal),
        )


def _tpm(spec: TpmSpec, clock: Clock, journal: Journal) -> Tpm | FaultyTpm:
    tpm = Tpm(
        Entropy(spec.seed, "tpm"),
        clock,
        journal,
        banks=tuple(ALGORITHM_BY_NAME[name] for name in spec.banks),
        allocated=tuple(ALGORITHM_BY_NAME[name] for name in spec.allocated),
    )
    return FaultyTpm(tpm, spec.dies_at) if spec.dies_at else tpm


def _check_banks(key: str, names: tuple[str, ...], there: tuple[str, ...]) -> None:
    """At least one bank, each of those that are there, none twice."""
    for name in names:
        if name not in there:
            choice = ", ".join(there)
            raise SettingError(key, f"no bank {name!r}; there are: {choice}")
    if not names or len(set(names)) != len(names):
        raise SettingError(key, f"found {list(names)}, expected each bank once")
