"""pef inspect on HDAT and device trees: every byte, and what other people wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from fdt_kit import VECTORS as TREES
from pefstack import FormatError, Machine
from pefstack.images.hdif import join
from pefstack.images.iplparams import IplParameters, SystemParameters
from pefstack.images.tpmrel import FLAG_BACKUP, NodeTpm, TpmRel
from pefstack.tools.inspection.inspect_file import Inspection, inspect_bytes

LOGS = Path(__file__).parent.parent / "vectors" / "boot-chain" / "eventlog"
REAL = (LOGS / "op920-witherspoon-tpmrel.hdif").read_bytes()


def covered(found: Inspection) -> None:
    at = 0
    for region in found.regions:
        assert (region.offset, region.size >= 0) == (at, True), region.name
        at += region.size
    assert at == found.size


def named(found: Inspection) -> dict[str, str]:
    return {region.name: region.value for region in found.regions}


def test_the_tpm_structure_of_a_real_machine() -> None:
    found = inspect_bytes(REAL + bytes(8))
    covered(found)
    values = named(found)
    assert found.format == "HDAT"
    assert values["header"] == "TPMREL, version 0x11, 0x100a8 bytes"
    assert values["TPM 0"] == "chip 0x0, functional"
    assert values["physical presence"] == "0x15, 0xd"
    assert values["services"] == "type 0 at 0x40, type 1 at 0x50"
    (log,) = [each for each in found.regions if each.name == "event log of TPM 0"]
    assert (log.offset, log.size) == (0x70, 0x10000)


def test_states_and_flags_of_tpms_in_words() -> None:
    tpms = (
        NodeTpm(chip_id=1, status=2, flags=0xC0, srtm_log=b""),
        NodeTpm(chip_id=2, status=3, flags=FLAG_BACKUP, srtm_log=b"log"),
        NodeTpm(chip_id=3, status=9, srtm_log=b""),
    )
    value = TpmRel(version=0x30, tpms=tpms, physical_presence=(0, 0), services=())
    found = inspect_bytes(value.to_bytes())
    covered(found)
    values = named(found)
    assert values["TPM 0"] == "chip 0x1, present, not functional, poisoned, backup"
    assert values["TPM 1"] == "chip 0x2, absent, backup"
    assert values["TPM 2"] == "chip 0x3, status 9"


def test_ipl_parameters() -> None:
    system = SystemParameters(
        sys_sec_setting=0xC000,
        hw_key_hash_size=64,
        hw_key_hash=b"\xab" * 64,
        sys_type=b"some,type".ljust(64, b"\0"),
    )
    found = inspect_bytes(IplParameters(version=0x80, system=system).to_bytes())
    covered(found)
    values = named(found)
    assert values["system.sys_sec_setting"] == "0xc000"
    assert values["system.hw_key_hash"] == "ab" * 64
    assert values["system.sys_type"] == "some,type"


def test_another_structure_of_hdat() -> None:
    raw = join(b"SPINFO", instance=0, version=0x20, parts=(b"one", b"twotwo"))
    found = inspect_bytes(raw)
    covered(found)
    assert [each.size for each in found.regions if "part" in each.name] == [3, 6]


@pytest.mark.parametrize("name", ["small", "p9"])
def test_the_tree_of_a_machine(name: str) -> None:
    tree = Machine(name).run().device_tree
    found = inspect_bytes(tree + bytes(4))
    covered(found)
    rows = [(each.name, each.value) for each in found.regions]
    assert found.format == "device tree"
    assert ("node", "/ibm,secureboot/ibm,cvc/ibm,cvc-service@50") in rows
    assert ("compatible", "'ibm,secureboot', 'ibm,secureboot-v2'") in rows
    assert ("linux,sml-base", "0000000031201070") in rows
    assert ("secure-enabled", "") in rows
    assert rows[-1] == ("unused", "zero")


@pytest.mark.parametrize("path", sorted(TREES.glob("*.dtb")), ids=lambda p: p.name)
def test_trees_of_other_people(path: Path) -> None:
    found = inspect_bytes(path.read_bytes())
    covered(found)
    nodes = [each.value for each in found.regions if each.name == "node"]
    assert nodes[0] == "/"


@pytest.mark.parametrize("size", [2, 4, 16, 31, 39, 64, 200, 0x100])
def test_cut_files_are_refused_politely(small: Machine, size: int) -> None:
    small.run()
    for raw in (REAL, small.device_tree):
        with pytest.raises(FormatError) as caught:
            inspect_bytes(raw[:size])
        assert caught.value.offset <= size
