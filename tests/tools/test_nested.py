"""Key transitions and SBE images: built, inspected, verified."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import pytest

from pefstack import Machine, UsageError
from pefstack.images.container_verify import log_word
from pefstack.images.signing import SigningOptions, seeded_key_set, sign_header
from pefstack.tools.cli.app import main
from pefstack.tools.inspection.inspect_file import Inspection, inspect_bytes
from strategies import imprint_keys

Caught = pytest.CaptureFixture[str]
SBKT: Final = "image.flash.partition.SBKT"
SBE: Final = "image.flash.partition.SBE"


def transition(nested: bytes, flags: int = 0x80000001) -> bytes:
    options = SigningOptions(label="SBKT", hw_flags=flags)
    return sign_header(nested, imprint_keys(), options) + nested


def by_new_keys(label: str = "SBKT", size: int = 64) -> bytes:
    options = SigningOptions(label=label)
    return sign_header(bytes(size), seeded_key_set("new"), options) + bytes(size)


def key_hash(container: bytes) -> str:
    return hashlib.sha512(container[30:426]).hexdigest()


def regions(found: Inspection) -> dict[str, str]:
    return {each.name: each.value for each in found.regions}


def test_the_builder_nests_a_container() -> None:
    machine = Machine("key-transition")
    outer = machine.flash["SBKT"].data
    nested = outer[4096 : 4096 + 0x1100]
    assert log_word(outer, machine.board.fuses.hw_key_hash, 0) == 0x103
    assert log_word(nested, bytes.fromhex(key_hash(nested)), 0) == 0x103
    assert key_hash(nested) != key_hash(outer)
    assert machine.flash["SBKT"].header.prefix.flags == 0x80000001


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([f"{SBKT}.container.nested.nested={{}}"], "container in a container"),
        ([f"{SBKT}.container.hash-pages=true"], "container in a container"),
        ([f"{SBE}.content.fill=8"], "either `content` or `sbe-image`"),
        ([f"{SBE}.sbe-image.security-version=256"], "found 0x100"),
        ([f"{SBE}.size=0x1000"], "at most"),
    ],
)
def test_what_cannot_be_built(settings: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Machine("key-transition", settings=settings)


def test_the_image_in_the_flash_is_of_another_build_without_settings() -> None:
    machine = Machine("lock-in")
    image = machine.flash["SBE"].data[4096 : 4096 + len(machine.board.seeprom.content)]
    ours = machine.board.seeprom.content
    assert image[:8] == b"XIP SEPM" == ours[:8]
    assert image[64:352] == ours[64:352]  # the same sections in the same places
    for place in (9, 13, 22):  # .base, .hbbl, .sb_verification
        at, size = (int.from_bytes(image[64 + 12 * place + n :][:4]) for n in (0, 4))
        assert image[at : at + size] != ours[at : at + size]
    settings = int.from_bytes(image[64 + 12 * 21 :][:4])
    assert not any(image[settings : settings + 72])


def test_inspect_shows_every_byte_of_both() -> None:
    nested = by_new_keys()
    found = inspect_bytes(transition(nested))
    at = 0
    for each in found.regions:
        assert each.offset == at
        at += each.size
    assert at == 4096 + 4096 + 64
    values = regions(found)
    assert key_hash(nested) in values["nested"]
    assert "hash as in the header" in values["nested"]
    assert values["nested.software.component_id"] == "'SBKT'"
    assert values["nested.payload"] == "hash as in the header"


@pytest.mark.parametrize(
    "nested", [b"", bytes(5000), by_new_keys()[:4095], by_new_keys()[1:]]
)
def test_inspect_takes_what_is_no_container_as_a_payload(nested: bytes) -> None:
    values = regions(inspect_bytes(transition(nested)))
    assert values["payload"] == "hash as in the header"


def test_inspect_names_a_broken_nested_container() -> None:
    broken = bytearray(by_new_keys())
    broken[5] = 9
    assert (
        "broken container"
        in regions(inspect_bytes(transition(bytes(broken))))["payload"]
    )


def test_without_the_flag_a_container_is_a_payload() -> None:
    found = inspect_bytes(transition(by_new_keys(), 0x80000000))
    assert "nested" not in regions(found)


def test_containers_in_containers_end_at_the_second() -> None:
    """However deep a file goes."""
    raw = by_new_keys()
    for _ in range(200):
        raw = transition(raw)
    names = [each.name for each in inspect_bytes(raw).regions]
    assert names.count("nested.payload") == 1
    assert not [name for name in names if name.startswith("nested.nested")]


def verified(capsys: Caught, *words: str) -> tuple[int, list[dict[str, Any]]]:
    code = main(["verify", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)["findings"]


@pytest.mark.parametrize(
    ("raw", "good", "refusal"),
    [
        (transition(by_new_keys()), True, ""),
        (transition(by_new_keys("HBB")), False, "component-id"),
        (transition(by_new_keys()[:-1]), False, "container-rejected"),
        (transition(by_new_keys()[:4000]), False, "key-transition"),
        (transition(bytes(5000)), False, "container-rejected"),
    ],
)
def test_verify_a_container(
    tmp_path: Path, capsys: Caught, raw: bytes, good: bool, refusal: str
) -> None:
    (tmp_path / "sbkt").write_bytes(raw)
    code, findings = verified(capsys, str(tmp_path / "sbkt"), "--key-hash", "imprint")
    assert code == (0 if good else 1)
    outer, nested = findings
    assert outer["good"] and nested["good"] is good
    assert (nested["place"], nested["refusal"]) == ("SBKT nested", refusal)


def test_verify_says_nothing_of_what_a_bad_container_holds(
    tmp_path: Path, capsys: Caught
) -> None:
    (tmp_path / "sbkt").write_bytes(transition(by_new_keys()))
    code, findings = verified(capsys, str(tmp_path / "sbkt"), "--key-hash", "00" * 64)
    assert (code, len(findings)) == (1, 1)
