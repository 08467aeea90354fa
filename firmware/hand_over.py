"""Hand over: what Hostboot leaves in memory for OPAL, as HDAT (boot-chain.md 4.2).

Two structures: the IPL parameters with the security settings, and the TPMs with their
event logs, where the log moves from Hostboot's own 7 KiB into 64 KiB. POWER9 machines
get the versions of POWER9.
"""

from __future__ import annotations

from typing import Final

from pefstack.firmware.log import read_log
from pefstack.firmware.memory_map import IPL_PARAMETERS_ADDRESS, TPMREL_ADDRESS
from pefstack.firmware.profiles import profile_of
from pefstack.firmware.status import tpm_is_lost
from pefstack.hw.board import Board
from pefstack.images import iplparams, tpmrel
from pefstack.images.iplparams import IplParameters, SystemParameters
from pefstack.images.tpmrel import HashAndVerifyService, NodeTpm, TpmRel

NO_I2C_LINK: Final = 0xFFFF_FFFF  # hostboot's sentinel: no such device
SERVICES: Final = (
    HashAndVerifyService(type=tpmrel.SERVICE_SHA512, offset=0x40),
    HashAndVerifyService(type=tpmrel.SERVICE_VERIFY, offset=0x50),
)
FAMILY: Final = b"pefstack,emulated"
POWER9_TYPE: Final = b"pefstack,power9"
POWER10_TYPE: Final = b"pefstack,power10"


def hand_over(board: Board, stage: str, hw_key_hash: bytes) -> None:
    """Write both structures; the last thing that Hostboot does."""
    power9 = not profile_of(board.spec.measure).table.sbe_measures
    tpms = tpms_of(board)
    parameters = _ipl_parameters(board, tpms, hw_key_hash, power9=power9)
    relations = TpmRel(
        version=tpmrel.VERSION_POWER9 if power9 else tpmrel.VERSION_POWER10,
        tpms=tpms,
        physical_presence=(NO_I2C_LINK, NO_I2C_LINK),
        services=SERVICES,
    )
    board.memory.write(IPL_PARAMETERS_ADDRESS, parameters.to_bytes())
    board.memory.write(TPMREL_ADDRESS, relations.to_bytes())
    board.journal.add(
        stage,
        "hdat",
        address=TPMREL_ADDRESS,
        tpms=len(tpms),
        secure=int(board.chip.secure),
        trusted=int(is_trusted(tpms)),
    )


def tpms_of(board: Board) -> tuple[NodeTpm, ...]:
    """Every TPM of the machine, that of the master chip first.

    One that was given up is present and not functional, and has no log; nor has a
    backup TPM, which no stage measures into.
    """
    log = read_log(board).ljust(tpmrel.LOG_SIZE, b"\0")
    primary = _node_tpm(board, 0, log)
    if board.alternate is None:
        return (primary,)
    chip = board.seen_from(board.alternate)
    return primary, _node_tpm(chip, tpmrel.FLAG_BACKUP, b"")


def _node_tpm(board: Board, flags: int, log: bytes) -> NodeTpm:
    """The TPM of one chip; POWER9 has no flags."""
    lost = tpm_is_lost(board)
    power9 = not profile_of(board.spec.measure).table.sbe_measures
    if board.tpm_name in board.poisoned:
        flags |= tpmrel.FLAG_POISONED
    return NodeTpm(
        chip_id=board.number,
        localities=tpmrel.LOCALITIES_POWER9 if power9 else bytes(4),
        status=tpmrel.STATUS_NOT_FUNCTIONAL if lost else tpmrel.STATUS_FUNCTIONAL,
        flags=0 if power9 else flags,
        srtm_log=b"" if lost else log,
    )


def is_trusted(tpms: tuple[NodeTpm, ...]) -> bool:
    """Whether the primary TPM is functional and nobody poisoned it."""
    primary = tpms[0]
    poisoned = primary.flags & tpmrel.FLAG_POISONED
    return primary.status == tpmrel.STATUS_FUNCTIONAL and not poisoned


def _ipl_parameters(
    board: Board, tpms: tuple[NodeTpm, ...], hw_key_hash: bytes, *, power9: bool
) -> IplParameters:
    setting = iplparams.SIGNATURE_CHECKING if board.chip.secure else 0
    setting |= iplparams.HASHES_EXTENDED if is_trusted(tpms) else 0
    system = SystemParameters(
        effective_pvr=board.chip.pvr,
        sys_sec_setting=setting,
        tpm_config_bits=iplparams.TPM_REQUIRED if board.spec.tpm.required else 0,
        tpm_drawer=len(tpms),
        hw_key_hash_size=len(hw_key_hash),
        hw_key_hash=hw_key_hash,
        sys_family=FAMILY.ljust(64, b"\0"),
        sys_type=(POWER9_TYPE if power9 else POWER10_TYPE).ljust(64, b"\0"),
    )
    version = iplparams.VERSION_POWER9 if power9 else iplparams.VERSION_POWER10
    return IplParameters(version=version, system=system)
