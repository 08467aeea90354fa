"""What a machine is, before it is switched on: a mapping and bytes become a `Board`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pefstack.hw.board import Board
from pefstack.hw.entropy import Clock, Entropy
from pefstack.hw.flash import Content, Flash
from pefstack.hw.fuses import HW_KEY_HASH_SIZE, Fuses
from pefstack.hw.guest_spec import GuestImages, GuestSpec
from pefstack.hw.journal import Journal
from pefstack.hw.mapping import SettingError, check_range, from_mapping, to_mapping
from pefstack.hw.memory import Memory
from pefstack.hw.pef_spec import PefSpec
from pefstack.hw.secondary_spec import SecondaryChipSpec
from pefstack.hw.secure_memory import SecureMemory
from pefstack.hw.seeprom import Seeprom
from pefstack.hw.tpm_step import step_named
from pefstack.hw.wiring import ALGORITHM_BY_NAME, wire_chip, wire_secondaries, wire_tpm

MEMORY_SIZE: Final = 4 << 30
MAX_SECONDARY_CHIPS: Final = 7  # eight chips a node
PCR_COUNT: Final = 24
PVR_POWER10: Final = 0x00800200
MAX_FURTHER_TEXT_SIZE: Final = 1024
MAX_FURTHER_VALUE_SIZE: Final = 64
VERIFY_POLICIES: Final = ("fail-closed", "record", "record-only")
_STAGES_THAT_EXTEND_MORE: Final = ("hostboot_ext", "opal")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipSpec:
    """The processor: ``smd`` True is the jumper asking for security OFF.

    ``scratch_3`` and ``scratch_8`` are what the BMC leaves in the mailbox, 32 bits.
    """

    smd: bool = False
    pef_enable: bool = True
    pvr: int = PVR_POWER10
    node_id: int = 0
    scratch_3: int = 0
    scratch_8: int = 0

    def __post_init__(self) -> None:
        check_range("pvr", self.pvr, 0xFFFF_FFFF)
        check_range("scratch-3", self.scratch_3, 0xFFFF_FFFF)
        check_range("scratch-8", self.scratch_8, 0xFFFF_FFFF)
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
class AnyTpmSpec:
    """A TPM: everything random in it follows from ``seed``.

    Two faults: ``dies_at`` is the number of the command, from 1, at which it loses its
    power for good, 0 is a healthy one; ``fails_at`` is the step before which it does,
    by its name or its code (`TpmStep`).
    """

    seed: str = "pefstack"
    banks: tuple[str, ...] = ("sha1", "sha256", "sha384")
    allocated: tuple[str, ...] = ("sha256",)
    dies_at: int = 0
    fails_at: str = ""

    @property
    def failing_step(self) -> int:
        """The code of ``fails_at``; 0 is none."""
        return step_named(self.fails_at, "fails-at")

    def __post_init__(self) -> None:
        check_range("dies-at", self.dies_at, 0xFFFF)
        step_named(self.fails_at, "fails-at")
        _check_banks("banks", self.banks, tuple(ALGORITHM_BY_NAME))
        _check_banks("allocated", self.allocated, self.banks)


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmSpec(AnyTpmSpec):
    """The primary chip's TPM; ``required``: with security on, no boot without it."""

    required: bool = True


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
class UpdateSpec:
    """What Hostboot may do when it updates the SBE: ``lock_in`` raises the minimum
    secure version to that of the new image (boot-chain.md 1.6)."""

    lock_in: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSpec:
    """A machine without its images; `to_mapping` and `from_mapping` are inverse.

    ``secondary_chips`` are chips 1, 2, …; with a ``backup_tpm`` chip 1 has it and is
    the alternate master. With a ``guest`` the machine goes on to start a VM.
    """

    fuses: FusesSpec
    chip: ChipSpec = field(default_factory=ChipSpec)
    tpm: TpmSpec = field(default_factory=TpmSpec)
    measure: MeasureSpec = field(default_factory=MeasureSpec)
    verify: VerifySpec = field(default_factory=VerifySpec)
    fault: FaultSpec = field(default_factory=FaultSpec)
    update: UpdateSpec = field(default_factory=UpdateSpec)
    pef: PefSpec = field(default_factory=PefSpec)
    guest: GuestSpec | None = None
    secondary_chips: tuple[SecondaryChipSpec, ...] = ()
    backup_tpm: AnyTpmSpec | None = None

    def __post_init__(self) -> None:
        if len(self.secondary_chips) > MAX_SECONDARY_CHIPS:
            found, most = len(self.secondary_chips), MAX_SECONDARY_CHIPS
            raise SettingError("secondary-chips", f"found {found}, expected {most}")
        if self.backup_tpm and not self.secondary_chips:
            problem = "belongs to chip 1: it needs a chip in machine.secondary-chips"
            raise SettingError("backup-tpm", problem)

    @classmethod
    def from_mapping(cls, table: Mapping[str, Any]) -> MachineSpec:
        """From the ``[machine]`` table of a machine file; raises `SettingError`."""
        return from_mapping(cls, table, "machine")

    def to_mapping(self) -> dict[str, Any]:
        """The ``[machine]`` table that gives this value again."""
        return to_mapping(self)

    def build(
        self,
        name: str,
        flash: Content,
        seeprom: bytes,
        measurement_seeprom: bytes,
        guest: GuestImages | None = None,
        tpm_state: bytes | None = None,
    ) -> Board:
        """Wire the devices into a board that is switched off.

        With ``tpm_state`` the primary's TPM is as it was when that was saved.
        `SettingError` where a chip's ``flip`` lies outside its SEEPROM, `FormatError`
        for damaged state.
        """
        journal = Journal()
        clock = Clock()
        chip = wire_chip(self.chip, self.chip.smd)
        return Board(
            name=name,
            spec=self,
            journal=journal,
            clock=clock,
            entropy=Entropy(self.tpm.seed, "processor"),
            fuses=Fuses(
                hw_key_hash=self.fuses.hw_key_hash,
                minimum_secure_version=self.fuses.minimum_secure_version,
                signing_mode=self.fuses.signing_mode,
            ),
            chip=chip,
            seeprom=Seeprom(seeprom, locked=False, chip=chip),
            measurement_seeprom=Seeprom(measurement_seeprom, locked=True),
            flash=Flash(flash, journal),
            memory=Memory(MEMORY_SIZE),
            secure=SecureMemory(self.pef.secure_memory),
            guest_images=guest,
            tpm=wire_tpm(self.tpm, "", clock, journal, tpm_state),
            tpm_fails_at=self.tpm.failing_step,
            secondaries=wire_secondaries(
                self, seeprom, measurement_seeprom, clock, journal
            ),
        )


def _check_banks(key: str, names: tuple[str, ...], there: tuple[str, ...]) -> None:
    """At least one bank, each of those that are there, none twice."""
    for name in names:
        if name not in there:
            choice = ", ".join(there)
            raise SettingError(key, f"no bank {name!r}; there are: {choice}")
    if not names or len(set(names)) != len(names):
        raise SettingError(key, f"found {list(names)}, expected each bank once")
