"""pef inspect: every byte of every format, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pefstack import FormatError, Machine
from pefstack.images import ecc
from pefstack.tools.cli.app import main
from pefstack.tools.inspection.inspect_file import Inspection, inspect_bytes

VECTORS = Path(__file__).parent.parent / "vectors" / "boot-chain"
GOOD = VECTORS / "containers" / "good"


def covered(found: Inspection) -> None:
    """The regions cover the file from its first byte to its last, in order."""
    at = 0
    for region in found.regions:
        assert region.offset == at, region.name
        assert region.size >= 0
        at += region.size
    assert at == found.size


def named(found: Inspection) -> dict[str, str]:
    """Values by name."""
    return {region.name: region.value for region in found.regions}


@pytest.mark.parametrize("name", ["hbb-1sw.stb", "bootkernel-3sw.stb"])
def test_foreign_containers(name: str) -> None:
    found = inspect_bytes((GOOD / name).read_bytes())
    covered(found)
    values = named(found)
    assert found.format == "container"
    assert values["payload"] == "hash as in the header"
    assert values["padding"] == "zero"


def test_fields_of_a_foreign_container() -> None:
    values = named(inspect_bytes((GOOD / "bootkernel-3sw.stb").read_bytes()))
    assert values["software.component_id"] == "'BOOTKERN'"
    assert values["software.security_version"] == "0x07"
    assert values["software.payload_size"] == "0x0000000000004e20"
    assert len(values["signature by sw_key_r"]) == 264


def test_a_changed_payload_and_a_cut_one_are_told_apart() -> None:
    raw = bytearray((GOOD / "hbb-1sw.stb").read_bytes())
    raw[5000] ^= 1
    assert named(inspect_bytes(raw))["payload"] == "hash differs from the header"
    cut = inspect_bytes(raw[:6000])
    covered(cut)
    assert named(cut)["payload"].startswith("cut short, the header says 0x1f11")


def test_what_follows_the_payload_is_named() -> None:
    found = inspect_bytes((GOOD / "hbb-1sw.stb").read_bytes() + b"tail")
    covered(found)
    assert (found.regions[-1].name, found.regions[-1].size) == ("unprotected", 4)


def paged_container() -> bytearray:
    """SBE of the stock machine: header, table of 96 pages, pages."""
    data = Machine("p9").flash["SBE"].data
    return bytearray(data[: int.from_bytes(data[6:14], "big")])


def test_what_lies_behind_a_hash_page_table_is_checked() -> None:
    raw = paged_container()
    found = inspect_bytes(raw + b"more")
    covered(found)
    values = named(found)
    assert values["payload"] == "hash as in the header; a hash page table"
    assert values["pages"] == "96 pages, each as in the table"
    pages, rest = found.regions[-2:]
    assert (pages.offset, pages.size) == (0x2000, 0x60000)
    assert (rest.name, rest.size) == ("unprotected", 4)


def test_a_page_that_is_not_as_in_its_table_is_named() -> None:
    raw = paged_container()
    raw[0x2000 + 5 * 0x1000 + 9] ^= 1
    found = named(inspect_bytes(raw))
    assert found["payload"].startswith("hash as in the header")
    assert found["pages"].startswith("96 pages; hash page table: page 0x5: found ")


@pytest.mark.parametrize("size", [0x1000 + 0x1000, 0x2000 + 128 * 0x1000, 1 << 60])
def test_sizes_that_do_not_fit_are_no_pages(size: int) -> None:
    """An untrusted container size: no rest, more pages than entries, far too much."""
    raw = paged_container() + bytes(0x60000)
    raw[6:14] = size.to_bytes(8, "big")
    found = inspect_bytes(raw)
    covered(found)
    assert "pages" not in named(found)
    assert named(found)["payload"] == "hash as in the header"


def test_a_container_behind_ecc() -> None:
    raw = (GOOD / "hbb-1sw.stb").read_bytes()
    raw += bytes(-len(raw) % 8)
    coded = bytearray(ecc.encode(raw))
    coded[900] ^= 1  # one bit: corrected
    found = inspect_bytes(coded)
    assert found.format == "container behind ECC"
    assert named(found)["payload"] == "hash as in the header"
    coded[900] ^= 6  # three bits in one word
    with pytest.raises(FormatError, match="1 uncorrectable"):
        inspect_bytes(coded)


def test_flash_of_the_small_machine(small: Machine) -> None:
    found = inspect_bytes(small.board.flash.read(0, small.board.flash.size))
    covered(found)
    values = named(found)
    assert found.format == "flash image"
    assert values["HBB"].startswith(
        "read-only; ECC good; container HBB: payload 0x8000"
    )
    assert values["SECBOOT"] == "preserved; ECC good; erased (ff)"
    assert "second partition table" in values


def test_damaged_words_are_counted(small: Machine) -> None:
    small.flash["HBI"].flip(9 * 1000, 3)
    small.flash["HBI"].flip(9 * 2000, 3)
    small.flash["HBI"].flip(9 * 2000, 4)
    values = named(inspect_bytes(small.board.flash.read(0, small.board.flash.size)))
    assert "ECC 1 corrected, 1 uncorrectable words" in values["HBI"]


@pytest.mark.parametrize("name", ["03-tiny-pnor", "04-tiny-pnor2", "17-toc"])
def test_foreign_flash_images(name: str) -> None:
    found = inspect_bytes((VECTORS / "ffs" / f"{name}.out").read_bytes())
    covered(found)
    assert {"part", "ONE", "TWO", "THREE", "FOUR"} <= set(named(found))


def test_foreign_flash_image_with_containers() -> None:
    found = inspect_bytes((VECTORS / "ffs" / "small.pnor").read_bytes())
    covered(found)
    values = named(found)
    assert "container BOOTKERN: payload 0x4e20 bytes" in values["BOOTKERNEL"]
    assert "container HBB: payload 0x1f11 bytes" in values["HBB"]


def test_seeproms(small: Machine) -> None:
    found = inspect_bytes(small.board.seeprom.content)
    covered(found)
    values = named(found)
    assert small.board.fuses.hw_key_hash.hex() in values[".sb_settings"]
    assert values[".sbh_hbbl"].startswith("container HBBL: payload 0x1800")
    other = inspect_bytes(small.board.measurement_seeprom.content)
    covered(other)
    assert named(other)[".sb_settings"] == "measurement version 0x00020013"


def test_broken_parts_inside_an_image_are_said_in_their_place(small: Machine) -> None:
    seeprom = bytearray(small.board.seeprom.content)
    at = seeprom.index(bytes.fromhex("17082011"))
    seeprom[at] ^= 0xFF
    found = inspect_bytes(seeprom)
    covered(found)
    assert named(found)[".sbh_firmware"].startswith("broken: secure boot container: m")


def test_event_log_of_a_boot(small: Machine) -> None:
    small.run()
    found = inspect_bytes(small.event_log + bytes(100))
    covered(found)
    assert found.pcrs["sha256"]["6"] == small.pcr(6).hex()
    assert found.regions[-1].value == "zero"


def test_real_event_log() -> None:
    log = VECTORS / "eventlog" / "op920-witherspoon-srtm.log"
    found = inspect_bytes(log.read_bytes())
    covered(found)
    assert set(found.pcrs) == {"sha1", "sha256"}
    assert found.pcrs["sha256"]["6"].startswith("c66d8761")


@pytest.mark.parametrize("raw", [b"", b"MZ\x90\0", bytes(64), b"PAR"])
def test_unknown_files_are_refused_with_what_is_known(raw: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        inspect_bytes(raw)
    assert (caught.value.field, caught.value.offset) == ("magic", 0)
    assert "event log" in caught.value.expected


@pytest.mark.parametrize("name", ["flash.bin", "seeprom.bin", "x.log", "x.stb"])
@pytest.mark.parametrize("size", [4, 48, 64, 100, 4095])
def test_cut_files_end_in_a_format_error_or_an_answer(
    small: Machine, name: str, size: int
) -> None:
    small.run()
    raw = {
        "flash.bin": bytes(small.board.flash.read(0, 0x4000)),
        "seeprom.bin": small.board.seeprom.content,
        "x.log": small.event_log,
        "x.stb": (GOOD / "hbb-1sw.stb").read_bytes(),
    }[name][:size]
    try:
        covered(inspect_bytes(raw))
    except FormatError as refused:
        assert refused.offset <= size


def test_the_verb_in_text_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "hbb.stb"
    file.write_bytes((GOOD / "hbb-1sw.stb").read_bytes())
    assert main(["inspect", str(file)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("container, 0x2f11 bytes\n0x00000000 0x00000004 hardware.ma")
    assert main(["inspect", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["format"] == "container"
    assert found["regions"][0] == {
        "offset": 0,
        "size": 4,
        "name": "hardware.magic",
        "value": "0x17082011",
    }


def test_exit_codes_of_the_verb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = tmp_path / "noise"
    noise.write_bytes(b"noise of no format")
    assert main(["inspect", str(noise)]) == 3
    assert "file: magic, at 0x0" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "missing")]) == 2
    assert "missing: No such file" in capsys.readouterr().err
