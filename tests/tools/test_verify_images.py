"""pef verify FILE: SEEPROMs and their settings, places in a flash, any bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_matrix import put_bytes
from pefstack import FormatError, Machine
from pefstack.images import ecc
from pefstack.images.rejection import Rejection
from pefstack.images.sb_settings import SbSettings
from pefstack.images.sbe_payload import padded
from pefstack.images.signing import SigningOptions, seeded_key_set, sign_header
from pefstack.tools.cli.app import main
from pefstack.tools.verification.verify_file import Asked, verify_bytes
from strategies import imprint_keys
from verify_kit import (
    BASE,
    CODE,
    GOOD,
    HASH,
    MAGIC,
    SBV,
    Caught,
    behind_ecc,
    check_rejected,
    flash_of,
    seeprom,
    signed,
    verified,
    written,
)

# Keys and versions.


def test_without_a_hash_the_keys_are_not_checked_and_that_is_said(
    tmp_path: Path, capsys: Caught
) -> None:
    strangers = seeded_key_set("somebody else")
    raw = sign_header(CODE, strangers, SigningOptions(label="X")) + CODE
    path = written(tmp_path, raw)
    answer = verified(capsys, path, code=0)
    assert answer["keys"] == "keys not checked: give --key-hash"
    assert answer["key_hash"] == ""
    own = hashlib.sha512(raw[30:426]).hexdigest()
    assert answer["findings"][0]["key_hash"] == own == strangers.hw_key_hash.hex()
    assert main(["verify", str(path)]) == 0
    text = capsys.readouterr().out
    assert "keys not checked: give --key-hash" in text and own in text
    (finding,) = verified(capsys, path, "--key-hash", "imprint", code=1)["findings"]
    check_rejected(finding, Rejection.HW_KEY_HASH)
    assert (finding["found"], finding["expected"]) == (own, HASH)
    assert verified(capsys, path, "--key-hash", own)["keys"] == "given with --key-hash"


def test_a_seeprom_is_held_against_its_own_settings(
    tmp_path: Path, capsys: Caught
) -> None:
    path = written(tmp_path, seeprom())
    answer = verified(capsys, path, code=0)
    assert answer["keys"] == ".sb_settings of this SEEPROM"
    assert (answer["key_hash"], answer["minimum_version"]) == (HASH, 1)
    assert answer["settings"] == {
        "hw_key_hash": HASH,
        "minimum_secure_version": 1,
        "signing_mode": 0,
    }
    assert verified(capsys, path, "--min-version", "0", code=0)["minimum_version"] == 0
    for finding in verified(capsys, path, "--min-version", "2", code=1)["findings"]:
        check_rejected(finding, Rejection.SECURE_VERSION)
    for finding in verified(capsys, path, "--key-hash", "0" * 128)["findings"]:
        check_rejected(finding, Rejection.HW_KEY_HASH)
    other = SbSettings(hw_key_hash=bytes(64)).to_bytes()
    answer = verified(capsys, written(tmp_path, seeprom(sb_settings=other)), code=1)
    assert {each["log"][-2:] for each in answer["findings"]} == {"60"}


def test_what_sbe_fw_signs_is_found_out(tmp_path: Path, capsys: Caught) -> None:
    options = SigningOptions(label="SBE_FW", security_version=1)
    alone = sign_header(padded(BASE), imprint_keys(), options)
    cases = [
        (seeprom(), "patent", "103"),
        (seeprom(sbh_firmware=alone), "p10", "103"),
        (seeprom(sbh_firmware=alone, sb_verification=None), "p10", "103"),
        (seeprom(sb_verification=SBV + bytes(9)), "patent", "168"),
        (seeprom(sb_verification=SBV[:-1] + b"?"), "patent", "172"),
        (seeprom(sbh_firmware=alone, base=BASE[:-1] + b"?"), "p10", "172"),
    ]
    for raw, payload, log in cases:
        firmware, hbbl = verified(capsys, written(tmp_path, raw))["findings"]
        assert (firmware["payload"], firmware["log"][-3:]) == (payload, log)
        assert hbbl["good"]


@pytest.mark.parametrize(
    ("changed", "place", "check"),
    [
        ({"sbh_firmware": None}, "SBE_FW", "section .sbh_firmware"),
        ({"sbh_hbbl": None}, "HBBL", "section .sbh_hbbl"),
        ({"hbbl": None}, "HBBL", "section .hbbl"),
        ({"base": None}, "SBE_FW", "section .base"),
        ({"sbh_hbbl": MAGIC + bytes(8)}, "HBBL", "size of .sbh_hbbl"),
    ],
)
def test_a_container_of_the_seeprom_that_is_not_there(
    changed: dict[str, bytes | None],
    place: str,
    check: str,
    tmp_path: Path,
    capsys: Caught,
) -> None:
    answer = verified(capsys, written(tmp_path, seeprom(**changed)), code=1)
    (bad,) = (each for each in answer["findings"] if not each["good"])
    assert (bad["place"], bad["check"]) == (place, check)
    assert (bad["refusal"], bad["log"]) == ("seeprom-format", None)


def test_seeproms_without_containers(
    small: Machine, tmp_path: Path, capsys: Caught
) -> None:
    raw = small.board.measurement_seeprom.content
    answer = verified(capsys, written(tmp_path, raw), code=0)
    assert answer["settings"] == {"measurement_version": "0x00020013"}
    assert answer["notes"] == ["a measurement SEEPROM has no containers"]
    machine = Machine("small", settings=['machine.measure.profile="p9"'])
    path = written(tmp_path, machine.board.seeprom.content)
    answer = verified(capsys, path, code=0)
    assert answer["settings"] == {"hw_key_hash": HASH}
    assert answer["findings"] == []
    assert main(["verify", str(path)]) == 0
    text = capsys.readouterr().out
    assert "a POWER9 SEEPROM has no containers" in text
    assert text.endswith("no container was verified\n")


# Places in the flash.


def flash_finding(
    machine: Machine, place: str, folder: Path, capsys: Caught
) -> dict[str, Any]:
    """The one bad finding of this flash."""
    path = written(folder, flash_of(machine))
    answer = verified(capsys, path, "--key-hash", "imprint", code=1)
    (bad,) = (each for each in answer["findings"] if not each["good"])
    assert bad["place"] == place
    found: dict[str, Any] = bad
    return found


def test_a_label_of_another_place(
    small: Machine, tmp_path: Path, capsys: Caught
) -> None:
    small.flash["HBI"].write(signed("PAYLOAD"))
    bad = flash_finding(small, "HBI", tmp_path, capsys)
    assert (bad["refusal"], bad["log"]) == ("component-id", GOOD)
    assert (bad["found"], bad["expected"]) == (
        "b'PAYLOAD\\x00'",
        repr(b"HBI" + bytes(5)),
    )


@pytest.mark.parametrize("size", [4096 + 63, 0x40001])
def test_a_container_size_that_does_not_fit(
    size: int, small: Machine, tmp_path: Path, capsys: Caught
) -> None:
    raw = put_bytes(signed("PAYLOAD"), 6, size.to_bytes(8, "big"))
    small.flash["PAYLOAD"].write(raw)
    bad = flash_finding(small, "PAYLOAD", tmp_path, capsys)
    assert (bad["refusal"], bad["found"]) == ("container-size", f"0x{size:x}")
    assert bad["expected"] == "0x1040 to 0x40000"
    for fits in (4096 + 64, 0x40000):
        small.flash["PAYLOAD"].write(put_bytes(raw, 6, fits.to_bytes(8, "big")))
        verified(capsys, written(tmp_path, flash_of(small)), code=0)


@pytest.mark.parametrize("count", [2, 3])
def test_hbb_has_one_software_key(
    count: int, small: Machine, tmp_path: Path, capsys: Caught
) -> None:
    small.flash["HBB"].write(signed("HBB", sw_key_count=count))
    bad = flash_finding(small, "HBB", tmp_path, capsys)
    assert (bad["refusal"], bad["found"]) == ("sw-key-count", str(count))
    assert bad["expected"] == "1"


def test_lost_words_are_reported_with_their_place(
    small: Machine, tmp_path: Path, capsys: Caught
) -> None:
    small.flash["HBI"].flip(9 * 700, 3)  # corrected
    behind = 9 * (small.flash["HBI"].size // 9 - 1)
    for at in (behind, behind + 1):  # nobody reads that far
        small.flash["HBI"].flip(at)
    verified(capsys, written(tmp_path, flash_of(small)), code=0)
    for at in (9 * 512, 9 * 512 + 1):
        small.flash["HBI"].flip(at)
    bad = flash_finding(small, "HBI", tmp_path, capsys)
    assert (bad["refusal"], bad["log"]) == ("ecc-uncorrectable", None)
    first = small.flash["HBI"].offset + 9 * 512
    words = f"1 uncorrectable words, the first at flash offset 0x{first:x}"
    assert (bad["check"], bad["found"]) == ("ECC", words)


def test_lost_words_of_a_container_behind_ecc(tmp_path: Path, capsys: Caught) -> None:
    raw = bytearray(behind_ecc(signed("X") + bytes(64)))
    raw[-9] ^= 3  # behind the payload
    assert verified(capsys, written(tmp_path, raw), code=0)["good"]
    raw[9 * 519] ^= 3  # its last word
    (bad,) = verified(capsys, written(tmp_path, raw), code=1)["findings"]
    assert (bad["refusal"], bad["log"]) == ("ecc-uncorrectable", None)
    assert bad["found"] == f"1 uncorrectable words, the first at 0x{9 * 519:x}"


def test_a_flash_without_containers_is_answered_with_no(
    tmp_path: Path, capsys: Caught
) -> None:
    absent = [
        f"image.flash.partition.{name}.absent=true"
        for name in ("HBB", "HBI", "PAYLOAD")
    ]
    raw = flash_of(Machine("small", settings=absent))
    answer = verified(capsys, written(tmp_path, raw), code=1)
    assert answer["findings"] == []
    assert answer["notes"] == ["no container found: nothing here can be verified"]


def test_pages_of_a_flash_show_by_their_sizes(tmp_path: Path, capsys: Caught) -> None:
    machine = Machine("p9")
    answer = verified(capsys, written(tmp_path, flash_of(machine)), code=0)
    pages = [each for each in answer["findings"] if each["place"].endswith(" pages")]
    names = ["HBI", "SBE", "HCODE", "WOFDATA", "MEMD"]
    assert [each["place"] for each in pages] == [f"{name} pages" for name in names]
    assert {each["rules"] for each in pages} == {"hash page table"}
    machine.flash["MEMD"].write(b"wrong", 0x2000 + 0x7FF0)
    other = Machine("p9", settings=["image.flash.partition.HBB.content.seed=other"])
    machine.flash["HBB"].write(other.flash["HBB"].data)
    answer = verified(capsys, written(tmp_path, flash_of(machine)), code=1)
    bad = [each for each in answer["findings"] if not each["good"]]
    assert [(each["place"], each["refusal"], each["check"]) for each in bad] == [
        ("HBI pages", "hbi-salt", "salt"),
        ("MEMD pages", "page-hash", "page 0x7"),
    ]
    assert {each["stage"] for each in bad} == {""}


def test_a_container_that_nobody_announced(
    small: Machine, tmp_path: Path, capsys: Caught
) -> None:
    for place, label in (("NVRAM", "NVRAM"), ("SECBOOT", "SECBOOT")):
        small.flash[place].write(signed(label))
    answer = verified(capsys, written(tmp_path, flash_of(small)), code=0)
    places = [each["place"] for each in answer["findings"]]
    assert places == ["NVRAM", "SECBOOT", "HBB", "HBI", "PAYLOAD"]


# Whatever the bytes are, there is an answer or a FormatError.

STARTS = [b"", MAGIC, ecc.encode(MAGIC + b"\0\1\0\0"), b"PART", b"XIP SEPM"]


@given(st.sampled_from(STARTS), st.binary(max_size=64), st.integers(0, 0xC000))
def test_noise(start: bytes, noise: bytes, size: int) -> None:
    try:
        found = verify_bytes("noise", start + noise + bytes(size), Asked())
    except FormatError:
        return
    assert not found.good


@given(st.data())
def test_a_seeprom_with_bytes_changed(data: st.DataObject) -> None:
    good = seeprom()
    raw = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        verify_bytes("seeprom", bytes(raw), Asked())
    except FormatError:
        assert raw != good
