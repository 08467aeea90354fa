"""Hostboot ext HBI [782]: measure the configuration and bring in what is left.

The profile's table is the programme: configuration values, partitions and separators
come in its order. In the profile `patent` the boot policy's PCR gets the separator
[792] just before PAYLOAD, OPAL [784], is verified. boot-chain.md 3.3 to 3.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from pefstack.firmware import opal
from pefstack.firmware.bring_in import bring_in
from pefstack.firmware.hand_over import hand_over
from pefstack.firmware.key_transition import SBKT, key_transition
from pefstack.firmware.load import Loaded
from pefstack.firmware.log import LogWriter
from pefstack.firmware.measure import measure
from pefstack.firmware.memory_map import HBB_ADDRESS, HBI_ADDRESS, PAYLOAD_ADDRESS
from pefstack.firmware.pages import content_of, page_in_hbi
from pefstack.firmware.partitions import holds_container, present
from pefstack.firmware.profiles import Profile, further_value, profile_of
from pefstack.firmware.root_of_trust import read_settings
from pefstack.firmware.sbe_update import lock_updates, sbe_image_in, update_sbe
from pefstack.firmware.secondary_chips import (
    MEASURED,
    init_backup_tpm,
    measure_secondary_chips,
    start_secondary_chips,
)
from pefstack.firmware.stage import BootFailure, Refusal, Shutdown, Stage
from pefstack.firmware.status import StatusByte, get_status
from pefstack.firmware.tpm_access import require_tpm
from pefstack.firmware.tpm_start import start_tpm
from pefstack.hw.board import Board
from pefstack.hw.chip import SECURITY_SWITCH, Chip
from pefstack.images.container import HEADER_SIZE
from pefstack.images.container_peek import payload_hash_of
from pefstack.images.rejection import describe_status
from pefstack.images.sb_settings import SbSettings

STAGE: Final = "hostboot_ext"
_ADDRESSES: Final = {"PAYLOAD": PAYLOAD_ADDRESS}
_FIRST_OF_CHIPS: Final = next(iter(MEASURED))
_TOWARDS_PAYLOAD: Final = ("policy-separator", "payload")  # what comes first of them


class Brought(NamedTuple):
    """A partition that was brought in, and what it holds, read through its table."""

    loaded: Loaded | None
    content: memoryview


_NOTHING: Final = Brought(None, memoryview(b""))


def run(board: Board) -> Stage | Shutdown:
    """Hand over to OPAL; a key transition ends in a shutdown before that."""
    page_in_hbi(board, STAGE)
    _bring_up_chips(board)
    profile = profile_of(board.spec.measure)
    log = _log(board, profile)
    fixed = read_settings(board, STAGE)
    subjects = profile.subjects(STAGE)
    there = present(board, STAGE, [what.upper() for what in subjects])
    end = next(n for n, what in enumerate(subjects) if what in _TOWARDS_PAYLOAD)
    found = _work_through(board, subjects[:end], there, fixed, log)
    transition, sbe = found.get("sbkt", _NOTHING), found.get("sbe", _NOTHING)
    image = sbe_image_in(sbe.content)
    ending = key_transition(board, STAGE, transition.loaded, image, fixed)
    if ending is not None:
        return ending
    update_sbe(board, STAGE, image)
    lock_updates(board, STAGE)
    _work_through(board, subjects[end:], there, fixed, log)
    hand_over(board, STAGE, fixed.hw_key_hash)
    return opal.run


def _work_through(
    board: Board,
    subjects: Sequence[str],
    there: Sequence[str],
    fixed: SbSettings,
    log: LogWriter,
) -> dict[str, Brought]:
    """Measure values, bring in partitions; what was brought in, by its subject."""
    found = {}
    for what in subjects:
        name = what.upper()
        if what in _VALUES:
            measure(board, STAGE, what, _VALUES[what](board, fixed), log)
        elif what.startswith("further-"):
            measure(board, STAGE, what, further_value(board.spec.measure, what), log)
        elif what in MEASURED:  # all of them with the first
            if what == _FIRST_OF_CHIPS:
                measure_secondary_chips(board, STAGE, log)
        elif what == "payload" or _is_wanted(board, name, there):
            address = _ADDRESSES.get(name)
            loaded = bring_in(board, STAGE, name, fixed, log, address)
            found[what] = Brought(loaded, content_of(board, STAGE, loaded))
    return found


def _is_wanted(board: Board, name: str, there: Sequence[str]) -> bool:
    """SBKT is blank but for a key transition; the others are used wherever they are."""
    if name not in there:
        return False
    return name != SBKT or holds_container(board, STAGE, name)


def _bring_up_chips(board: Board) -> None:
    """The other chips' SBEs, what all of them report, and the TPMs."""
    start_secondary_chips(board, STAGE)
    _lock_down(board)
    require_tpm(board, STAGE)
    init_backup_tpm(board, STAGE)


def _log(board: Board, profile: Profile) -> LogWriter:
    """The log that HBB began; on POWER9 the TPM starts here, and the log with it."""
    if profile.table.sbe_measures:
        return LogWriter.resume(board, STAGE)
    start_tpm(board, STAGE)
    return LogWriter.begin(board, STAGE)


def _switches(board: Board, _: SbSettings) -> bytes:
    return board.chip.get_scom(SECURITY_SWITCH).to_bytes(8, "big")


def _in_memory(address: int) -> Callable[[Board, SbSettings], bytes]:
    """The payload hash of a container that an earlier stage put into memory."""
    return lambda board, _: payload_hash_of(
        board.memory.read(address - HEADER_SIZE, HEADER_SIZE)
    )


_VALUES: Final[dict[str, Callable[[Board, SbSettings], bytes]]] = {
    "security-switches": _switches,
    "pvr": lambda board, _: board.chip.pvr.to_bytes(4, "big"),
    "node-id": lambda board, _: board.chip.node_id.to_bytes(8, "big"),
    "tpm-required": lambda board, _: bytes([board.spec.tpm.required]),
    "hw-key-hash": lambda _, fixed: fixed.hw_key_hash,
    "hbb": _in_memory(HBB_ADDRESS),
    "hbi": _in_memory(HBI_ADDRESS),
    "policy-separator": lambda board, _: b"",
    "separator": lambda board, _: b"",
}


def _lock_down(board: Board) -> None:
    """Look at what the SBE recorded: with security on, a rejection ends the boot (1.4).

    The policy ``record-only`` is a machine whose lockdown does not work.
    """
    if not board.chip.secure or board.spec.verify.policy == "record-only":
        return
    _check_report(board.chip, "")
    for processor in board.secondaries:
        _check_report(processor.chip, f"chip {processor.number}: ")


def _check_report(chip: Chip, whose: str) -> None:
    for byte in (StatusByte.HBBL, StatusByte.SBE_FW):
        if status := get_status(chip, byte):
            found = f"{byte.name}: {describe_status(status)}"
            raise BootFailure(
                STAGE,
                Refusal.SBE_REPORTED,
                f"{whose}scratch register 11 reports {found}",
                "put back the SEEPROM of this machine; the SBE ran what it rejected",
            )
