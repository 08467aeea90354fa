"""The options with which sealed data is made for a machine, or read from a file."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Final

from pefstack.firmware.pef_objects import NV_INDEX, storage_policy
from pefstack.images.esm_operand_keys import SealedData
from pefstack.images.esm_operand_slot import ANY_MACHINE, Slot
from pefstack.tools.cli.option_types import hex_bytes, number
from pefstack.tools.errors import UsageError
from pefstack.tools.files import read_bytes
from pefstack.tools.operands.machine_key import public_area
from pefstack.tools.operands.seed_file import read_seed

POLICY_PCR: Final = 6
_PCR_COUNT: Final = 24
_NV_INDICES: Final = range(0x01000000, 0x02000000)


def add_sealing(parser: argparse.ArgumentParser, *, slot_file: bool = True) -> None:
    """Declare them; exactly one of the keys, or with ``slot_file`` a slot."""
    sources = parser.add_mutually_exclusive_group(required=True)
    _file(sources, "--storage-key", "public area of the machine's storage key")
    _file(sources, "--wrapping-key", "of its wrapping key: a lockbox, no PCR asked for")
    if slot_file:
        _file(sources, "--slot", "sealed data that `pef esm seal` made; no seed needed")
    _file(parser, "--seed-file", "32 bytes: the seed that is sealed")
    text = "oldest image version that may start there, 0 by default"
    versions = number(range(1 << 32))
    parser.add_argument("--minimum-version", type=versions, metavar="N", help=text)
    text = "value that the PCR must have, 64 hex digits; for a storage key"
    parser.add_argument("--pcr6", type=hex_bytes(32), metavar="HEX", help=text)
    text = f"another PCR than {POLICY_PCR}"
    parser.add_argument("--pcr", type=number(range(_PCR_COUNT)), metavar="N", help=text)
    text = f"number of the index with the boot password, 0x{NV_INDEX:08x} by default"
    parser.add_argument("--nv-index", type=number(_NV_INDICES), metavar="N", help=text)
    text = "leave the machine's id out of the slot: every machine may try it"
    parser.add_argument("--any-machine", action="store_true", help=text)


def slot_of(options: argparse.Namespace) -> tuple[Slot, SealedData | None]:
    """The slot, and what was sealed in it unless it came from a file.

    Raises `UsageError` for options that do not go together, and as the makers of slots.
    """
    if getattr(options, "slot", None) is not None:
        _refuse(options, "--slot", *_NOT_OF_A_FILE)
        return read_slot(options.slot), None
    if options.seed_file is None:
        raise UsageError("--seed-file: missing; the seed is what is sealed")
    minimum = options.minimum_version or 0
    sealed = SealedData(seed=read_seed(options.seed_file), minimum_version=minimum)
    slot = _sealed_slot(options, sealed)
    return replace(
        slot, machine_id=ANY_MACHINE
    ) if options.any_machine else slot, sealed


def read_slot(path: Path) -> Slot:
    """A slot in a file of its own; `UsageError` for a placeholder."""
    slot = Slot.from_bytes(read_bytes(path))
    if not slot.kind:
        raise UsageError(f"{path}: a placeholder; nothing is sealed in it")
    return slot


_NOT_OF_A_FILE: Final = (
    "seed_file",
    "minimum_version",
    "pcr6",
    "pcr",
    "nv_index",
    "any_machine",
)


def _sealed_slot(options: argparse.Namespace, sealed: SealedData) -> Slot:
    from pefstack.tools.esm.randomness import SystemStream
    from pefstack.tools.esm_sealing import import_slot, lockbox_slot

    if options.wrapping_key is not None:
        _refuse(options, "--wrapping-key", "pcr6", "pcr", "nv_index")
        area = public_area(read_bytes(options.wrapping_key))
        return lockbox_slot(area, sealed, SystemStream())
    if options.pcr6 is None:
        raise UsageError("--pcr6: missing; the value that the machine's PCR must have")
    index = NV_INDEX if options.nv_index is None else options.nv_index
    pcr = POLICY_PCR if options.pcr is None else options.pcr
    area = public_area(read_bytes(options.storage_key))
    policy = storage_policy(index, pcr, options.pcr6)
    return import_slot(area, policy, sealed, SystemStream())


def _refuse(options: argparse.Namespace, chosen: str, *others: str) -> None:
    given = [each for each in others if getattr(options, each) not in (None, False)]
    if given:
        name = "--" + given[0].replace("_", "-")
        raise UsageError(f"{name}: says nothing together with {chosen}")


def _file(
    where: argparse.ArgumentParser | argparse._MutuallyExclusiveGroup,
    name: str,
    text: str,
) -> None:
    where.add_argument(name, type=Path, metavar="FILE", help=text)
