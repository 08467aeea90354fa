"""The negative matrix on bytes: every field, every mutation, raw and signed again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest

import rom_model
from container_matrix import (
    BOOT_CHAIN,
    HARDWARE,
    HW_KEY_HASH,
    PREFIX,
    Field,
    mutations,
    put,
    table,
    variants,
)
from pefstack.images.container_verify import log_word, sbe_verify
from pefstack.images.rejection import VerificationError
from pefstack.images.signing import KeySet, SigningOptions, sign_header
from strategies import imprint_keys

CONTAINERS = BOOT_CHAIN / "containers"
EXPECTED = json.loads((CONTAINERS / "expected.json").read_text())
WORDS = [
    (name, minimum, values[key])
    for name, values in EXPECTED.items()
    for minimum in (0, 8)
    if (key := f"rom_verify_log_msv{minimum}") in values
]
PAYLOAD = hashlib.shake_128(b"matrix").digest(0x200)
MINIMUM = 5  # and the containers' security version: one less is refused
CASES = [
    pytest.param(count, field, id=f"{count}-{field.name}")
    for count in (1, 2, 3)
    for field in table(count)
]
ROM_CODES = {
    *(0x20, 0x21, 0x22, 0x23, 0x60, 0x61, 0x62, 0x63, 0x64, 0x65),
    *(0x70, 0x71, 0x72, 0x73, 0x80, 0x90),
}
SBE_CODES = ROM_CODES - {0x73} | {0x66, 0x67, 0x68, 0x74}


@pytest.fixture(scope="module")
def keys() -> KeySet:
    return imprint_keys()


def header_of(keys: KeySet, count: int, label: str = "HBB") -> bytes:
    return sign_header(
        PAYLOAD,
        keys,
        SigningOptions(
            label=label,
            sw_key_count=count,
            code_start_offset=0x180,
            security_version=MINIMUM,
        ),
    )


def sbe_code(header: bytes, label: bytes) -> int:
    try:
        sbe_verify(header, PAYLOAD, label.ljust(8, b"\0"), HW_KEY_HASH, MINIMUM)
    except VerificationError as rejected:
        return rejected.rejection
    return 0


def mutated(header: bytes, field: Field) -> Iterator[tuple[str, bytes]]:
    for name, value in mutations(header, field).items():
        for variant, changed in variants(header, PAYLOAD, field, value):
            yield f"{field.name} {name} {variant}", changed


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_table_covers_every_byte_once(count: int) -> None:
    end = 0
    for field in table(count):
        assert field.offset == end, field.name
        end += field.size
    assert end == 4096
    names = [field.name for field in table(count)]
    assert len(set(names)) == len(names)


def test_all_words_of_the_original_code() -> None:
    assert len(WORDS) == 64


@pytest.mark.parametrize(("name", "minimum", "word"), WORDS)
def test_the_model_gives_the_word_of_the_original_code(
    name: str, minimum: int, word: str
) -> None:
    code = rom_model.rom_code((CONTAINERS / name).read_bytes(), HW_KEY_HASH, minimum)
    assert f"0x{rom_model.log_word(code):016x}" == word


@pytest.mark.parametrize(("name", "minimum", "word"), WORDS)
def test_containers_give_the_word_of_the_original_code(
    name: str, minimum: int, word: str
) -> None:
    raw = (CONTAINERS / name).read_bytes()
    assert f"0x{log_word(raw, HW_KEY_HASH, minimum):016x}" == word


@pytest.mark.parametrize(("count", "field"), CASES)
def test_rom_matrix(keys: KeySet, count: int, field: Field) -> None:
    good = header_of(keys, count)
    assert log_word(good + PAYLOAD, HW_KEY_HASH, MINIMUM) == 0x103
    for name, header in mutated(good, field):
        raw = header + PAYLOAD
        code = rom_model.rom_code(raw, HW_KEY_HASH, MINIMUM)
        found = log_word(raw, HW_KEY_HASH, MINIMUM)
        assert f"{found:x}" == f"{rom_model.log_word(code):x}", name


@pytest.mark.parametrize("label", [b"HBBL", b"SBE_FW"], ids=["HBBL", "SBE_FW"])
@pytest.mark.parametrize(("count", "field"), CASES)
def test_sbe_matrix(keys: KeySet, count: int, field: Field, label: bytes) -> None:
    good = header_of(keys, count, label.decode())
    assert sbe_code(good, label) == 0
    for name, header in mutated(good, field):
        code = rom_model.sbe_code(header, PAYLOAD, label, HW_KEY_HASH, MINIMUM)
        assert f"{sbe_code(header, label):x}" == f"{code:x}", name


def test_the_matrix_gives_every_code(keys: KeySet) -> None:
    rom, sbe = set(), set()
    good = header_of(keys, 1, "HBBL")
    for field in table(1):
        for _, header in mutated(good, field):
            rom.add(rom_model.rom_code(header + PAYLOAD, HW_KEY_HASH, MINIMUM))
            sbe.add(rom_model.sbe_code(header, PAYLOAD, b"HBBL", HW_KEY_HASH, MINIMUM))
    assert rom == {0, *ROM_CODES}
    assert sbe == {0, *SBE_CODES}


@pytest.mark.parametrize("field", HARDWARE[-3:], ids=lambda each: each.name)
def test_a_machine_fused_for_a_broken_key_still_wants_its_signature(
    keys: KeySet, field: Field
) -> None:
    good = header_of(keys, 1)
    for name, value in mutations(good, field).items():
        raw = put(good, field, value) + PAYLOAD
        fused = hashlib.sha512(raw[30:426]).digest()
        assert log_word(raw, fused, MINIMUM) == 0xFFFFFFFFFFFF8161, name


@pytest.mark.parametrize("place", range(0x0, 0x200, 0x40))
def test_payload_bits_are_protected(keys: KeySet, place: int) -> None:
    payload = bytearray(PAYLOAD)
    payload[place] ^= 1
    raw = header_of(keys, 2) + payload
    assert log_word(raw, HW_KEY_HASH, MINIMUM) == 0xFFFFFFFFFFFF8172


@pytest.mark.parametrize(
    ("ecids", "code"), [(18, 0x62), (19, 0x66)], ids=["fit", "too-many"]
)
def test_the_sbe_takes_a_prefix_of_400_bytes(
    keys: KeySet, ecids: int, code: int
) -> None:
    field = next(each for each in PREFIX if each.name == "prefix.ecid_count")
    _, (_, header) = variants(header_of(keys, 1, "HBBL"), PAYLOAD, field, ecids)
    assert rom_model.sbe_code(header, PAYLOAD, b"HBBL", HW_KEY_HASH, MINIMUM) == code
    assert sbe_code(header, b"HBBL") == code


@pytest.mark.parametrize(
    ("size", "code"), [(400, 0x64), (401, 0x67)], ids=["fits", "too-long"]
)
def test_the_sbe_takes_400_bytes_of_keys(keys: KeySet, size: int, code: int) -> None:
    field = next(each for each in PREFIX if each.name == "prefix.payload_size")
    good = header_of(keys, 1, "HBBL")
    header = dict(variants(good, PAYLOAD, field, size))["hashed"]
    assert sbe_code(header, b"HBBL") == code
