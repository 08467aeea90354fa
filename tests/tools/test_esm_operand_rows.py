"""Rows P15 to P19, P22, P57 and P61 of the checklist, as far as images and tools go."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from hmac import digest
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from hypothesis import given
from hypothesis import strategies as st

from elf_kit import Made, Part
from esm_kit import V2, flipped, with_bytes
from operand_kit import (
    GUEST,
    INITRD,
    KERNEL,
    LINE,
    NAMED,
    PCR6,
    STORAGE_KEY,
    Esm,
    storage_id,
    unsealed,
)
from pefstack.images.elf import Elf
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.esm_operand_open import Secret, open_operand
from pefstack.images.esm_operand_slot import Slot
from pefstack.images.esm_refusal import OperandError
from pefstack.images.initramfs import find_blob
from pefstack.images.zimage import ESM_BLOB, Zimage
from pefstack.tools.errors import UsageError
from pefstack.tools.esm_place import find_esm
from pefstack.tools.guest_parts import GuestParts
from pefstack.tools.operands.authorising import (
    Chosen,
    add_slot,
    operand_in,
    remove_chosen,
    replace_slot,
)
from pefstack.tools.operands.making import (
    make_operand,
    operand_in_front,
    operand_in_zimage,
)

STORAGE: Final = ("--storage-key", STORAGE_KEY, "--pcr6", PCR6)
PARTS: Final = {
    1: (KERNEL.parent / "vmlinux-a.bin").read_bytes(),
    2: LINE.encode(),
    3: INITRD.read_bytes(),
    4: bytes.fromhex("7c641b783c6000006063f000440000224e800020"),
}
DIGESTS: Final = [hashlib.sha512(each).digest() for each in PARTS.values()]
SEED: Final = b"\x3c" * 32


@pytest.fixture
def esm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Esm:
    return Esm(tmp_path, capsys)


def secrets(esm: Esm, *names: str) -> Iterator[object]:
    yield from ("--passphrase-file", esm.path("rootd"))
    for name in names:
        yield from ("--secret", f"{name}={esm.path(name)}")


def operand(
    seed: bytes = SEED,
    *,
    nonce: bytes = b"n" * 16,
    version: int = 0,
    secrets: tuple[Secret, ...] = (),
    slot_count: int = 2,
) -> bytes:
    guest = GuestParts(kernel=PARTS[1], initramfs=PARTS[3], command_line=PARTS[2])
    return make_operand(
        guest,
        seed=seed,
        build_nonce=nonce,
        security_version=version,
        secrets=secrets,
        slot_count=slot_count,
    )


def lockbox(number: int) -> Slot:
    return Slot(kind=2, machine_id=bytes([number]) * 32, body=b"\1\0" + b"\x77" * 256)


# an operand, read here with `struct`, `hashlib` and AES alone


def derived(seed: bytes, label: bytes, payload: bytes, bits: int) -> bytes:
    tail = label + b"\0" + payload[24:56] + bits.to_bytes(4, "big")
    blocks = [digest(seed, bytes((0, 0, 0, i)) + tail, "sha256") for i in (1, 2)]
    return b"".join(blocks)[: bits // 8]


def decrypted(key: bytes, index: int, data: bytes) -> bytes:
    counter = index.to_bytes(4, "big") + bytes(12)
    return Cipher(AES(key), CTR(counter)).decryptor().update(data)


def payload_of(raw: bytes) -> bytes:
    start, size, count = struct.unpack_from(">IIH", raw, 12)
    assert start == 32 + 2048 * count
    return raw[start : start + size]


def opened(payload: bytes, seed: bytes) -> list[tuple[int, str, bytes]]:
    """Type, name and content of each block."""
    key, found = derived(seed, b"ESM-ENC", payload, 256), []
    (count,) = struct.unpack_from(">H", payload, 12)
    table = decrypted(key, 0, payload[64 : 64 + 64 * count])
    for index, at in enumerate(range(0, 64 * count, 64), 1):
        kind, _, start, size, _, name = struct.unpack_from(">HHIII48s", table, at)
        content = decrypted(key, index, payload[start : start + size])
        found.append((kind, name.rstrip(b"\0").decode("latin-1"), content))
    return found


def test_p15_sealed_data_for_each_machine_then_integrity_then_the_passphrase(
    esm: Esm,
) -> None:
    esm.build(*secrets(esm, "crypttab"), "--slots", 3)
    image = esm.path("guest.img")
    esm("add", image, *STORAGE, *esm.seed)
    esm("add", image, *esm.key("tpm1"), *esm.seed)
    raw = esm.read("guest.img")
    raw = raw[raw.index(b"ESMO") :]
    kinds = [struct.unpack_from(">H", raw, 32 + 2048 * each)[0] for each in range(3)]
    ids = [raw[40 + 2048 * each :][:32].hex() for each in range(2)]
    assert (kinds, ids) == ([1, 1, 0], [storage_id("storage-key"), storage_id("tpm1")])
    payload = payload_of(raw)
    blocks = opened(payload, esm.read("seed"))
    assert [each[:2] for each in blocks] == [(1, ""), (2, "rootd"), (3, "crypttab")]
    assert blocks[0][2].startswith(b"INTG")
    mac_key = derived(esm.read("seed"), b"ESM-MAC", payload, 512)
    assert payload[-64:] == digest(mac_key, payload[:-64], "sha512")


def test_p16_all_four_parts_are_covered_and_hidden_unless_it_is_asked_for(
    esm: Esm,
) -> None:
    hidden = esm.build()
    assert not any(each in hidden for each in DIGESTS)
    shown = esm.build("--clear-integrity", name="clear.img")
    assert all(each in shown for each in DIGESTS)
    for image in (esm.path("guest.img"), esm.path("clear.img")):
        assert esm.verdict(image, *esm.seed, *GUEST)["verdict"] == "OK"
        other = {
            "kernel": ("--kernel", esm.put("k", flipped(PARTS[1], 9)), *GUEST[2:]),
            "command line": (*GUEST[:2], "--append", LINE + " "),
            "initramfs": (*GUEST, "--initrd", esm.put("i", PARTS[3] + bytes(4))),
            "RTAS": (*GUEST, "--rtas", esm.put("r", PARTS[4][:-4])),
        }
        for name, words in other.items():
            found = esm.verdict(image, *esm.seed, *words)
            assert found["verdict"] == "E_DIGEST"
            assert found["found"] == f"another {name}"


def test_p17_keys_come_from_the_seed_and_nothing_but_header_and_hmac_is_readable(
    esm: Esm,
) -> None:
    """Recomputed here; the CLI drew the nonce."""
    made = esm.build(*secrets(esm, "crypttab", "empty"))
    payload = payload_of(made[made.index(b"ESMO") :])
    blocks = opened(payload, esm.read("seed"))
    assert [each[2] for each in blocks[1:]] == [content for _, content in NAMED]
    readable = payload[64:-64]
    for _, name, content in blocks:
        assert not name or name.encode() not in readable
        assert not content or content[:8] not in readable
    other = opened(payload, bytes(32))
    assert not {each[2] for each in other} & {each[2] for each in blocks if each[2]}


# P18: nothing but a slot changes


def images(count: int) -> list[tuple[str, bytes]]:
    """An operand alone, in front of an initramfs, in both places of a zImage."""
    raw = operand(slot_count=count)
    initramfs = operand_in_front(INITRD.read_bytes(), raw)
    packed = Part(".kernel:vmlinux.strip", 0x1000, KERNEL.read_bytes())
    room = Part(ESM_BLOB, 0x10000, bytes(len(raw) + 0x321))
    initrd = Part(".kernel:initrd", 0x10000, initramfs)
    zimage = Made([packed, room], type=3).to_bytes()
    return [
        ("operand", raw),
        ("initramfs", initramfs),
        ("zImage", operand_in_zimage(zimage, raw)),
        ("zImage", Made([packed, initrd], type=3).to_bytes()),
    ]


def slot_place(image: bytes, number: int) -> slice:
    start = image.index(b"ESMO") + 32 + 2048 * number
    return slice(start, start + 2048)


@given(st.integers(1, 5), st.data())
def test_p18_in_every_image_only_the_bytes_of_one_slot_change(
    count: int, data: st.DataObject
) -> None:
    form, image = data.draw(st.sampled_from(images(count)))
    assert find_esm(image).form == form
    mine = data.draw(st.integers(0, count - 1))
    before = image
    for number in range(mine + 1):
        image, at = add_slot(before, lockbox(number + 1))
        assert at == number
        place = slot_place(image, at)
        assert image == with_bytes(before, place.start, lockbox(number + 1).to_bytes())
        before = image
    place = slot_place(image, mine)
    image, at = replace_slot(before, lockbox(99), Chosen(number=mine))
    assert image == with_bytes(before, place.start, lockbox(99).to_bytes())
    image, at = remove_chosen(image, Chosen(machine="63" * 32))
    assert at == mine
    assert image == with_bytes(before, place.start, bytes(2048))


def test_p18_a_start_that_two_machines_share_names_none() -> None:
    raw = operand()
    for last in (1, 2):
        slot = replace(lockbox(1), machine_id=b"\1" * 31 + bytes([last]))
        raw, _ = add_slot(raw, slot)
    with pytest.raises(UsageError, match="2 slots for machine 0101"):
        remove_chosen(raw, Chosen(machine="0101"))
    assert remove_chosen(raw, Chosen(machine="01" * 31 + "02"))[1] == 1


def test_p18_without_the_seed_and_byte_for_byte_at_the_command_line(esm: Esm) -> None:
    """The orchestrator has an image and a slot; the customer keeps the seed."""
    esm.build("--slots", 3)
    esm("seal", *esm.key("tpm1"), *esm.seed, "-o", esm.path("one"))
    esm("seal", *esm.key("tpm1"), *esm.seed, "-o", esm.path("anew"))
    esm.path("seed").unlink()
    image, before = esm.path("guest.img"), esm.read("guest.img")
    esm("add", image, "--slot", esm.path("one"))
    place = slot_place(before, 0)
    assert esm.read("guest.img") == with_bytes(before, place.start, esm.read("one"))
    esm("replace", image, "--slot", esm.path("anew"))
    assert esm.read("guest.img") == with_bytes(before, place.start, esm.read("anew"))
    assert esm.read("one") != esm.read("anew")
    esm("remove", image, "--machine", storage_id("tpm1"))
    assert esm.read("guest.img") == before


def test_p19_found_in_an_initramfs_and_in_a_section_of_a_zimage(esm: Esm) -> None:
    """Both are found by the ultravisor's search, hold the operand, and are checked."""
    packed = Part(".kernel:vmlinux.strip", 0x1000, KERNEL.read_bytes())
    initrd = Part(".kernel:initrd", 0x8000, PARTS[3])
    room = Part(ESM_BLOB, 0x10000, b"\xee" * 0x8000)
    line = Part("__builtin_cmdline", 0x9000, PARTS[2] + bytes(8))
    wrapper = Made([packed, initrd, line, room], type=3).to_bytes()
    zimage, out = esm.put("zImage", wrapper), esm.path("zImage.secure")
    esm("build", "--kernel", zimage, *esm.seed, "--zimage", out, "-o", esm.path("bare"))
    bare, made = esm.read("bare"), out.read_bytes()
    assert bytes(Zimage.from_bytes(made).esm_blob or b"") == bare.ljust(0x8000, b"\0")
    assert made.replace(bare.ljust(0x8000, b"\0"), b"\xee" * 0x8000) == wrapper
    front = operand_in_front(PARTS[3], bare)
    place = find_blob(front)
    assert front[place.offset :][: len(bare)] == bare
    assert bytes(place.rest_of(front)) == PARTS[3]
    image = esm.put("guest.img", front)
    for each, form in ((image, "initramfs"), (out, "zImage")):
        esm("add", each, *STORAGE, *esm.seed)
        found = esm.verdict(each, *esm.seed, "--machine", storage_id("storage-key"))
        assert (found["verdict"], found["form"]) == ("OK", form)
        assert "initramfs" in found["checked"]
    assert "kernel" in found["checked"]


@pytest.mark.parametrize("room", [0, 0x1000])
def test_p19_a_zimage_without_room_is_refused(room: int) -> None:
    packed = Part(".kernel:vmlinux.strip", 0x1000, KERNEL.read_bytes())
    wrapper = Made([packed, Part(ESM_BLOB, 0x10000, bytes(room))], type=3).to_bytes()
    assert Elf.from_bytes(wrapper).named(ESM_BLOB) is not None
    with pytest.raises(UsageError, match="link it with"):
        operand_in_zimage(wrapper, operand())


def test_p22_every_machine_with_sealed_data_opens_it_and_no_other(esm: Esm) -> None:
    """Private keys of two machines stand for their TPMs."""
    esm.build(*secrets(esm))
    image = esm.path("guest.img")
    for machine in ("tpm1", "tpm2"):
        esm("add", image, *esm.key(machine), *esm.seed)
    found = operand_in(image.read_bytes())
    for number, machine in enumerate(("tpm1", "tpm2")):
        mine = bytes.fromhex(storage_id(machine))
        assert found.candidates({1: mine}) == (number,)
        opened = open_operand(found, unsealed(machine, found.slots[number]))
        assert opened.secrets[0].content == NAMED[0][1]
        with pytest.raises(ValueError, match="ecrypt"):
            unsealed("owner", found.slots[number])
        assert esm.verdict(image, "--machine", mine.hex())["verdict"] == "OK"
    assert (
        esm.verdict(image, "--machine", storage_id("owner"))["verdict"] == "E_NO_SLOT"
    )
    esm("remove", image, "--machine", storage_id("tpm1"))
    assert esm.verdict(image, "--machine", storage_id("tpm1"))["verdict"] == "E_NO_SLOT"


@pytest.mark.parametrize("names", [(), ("rootd",), ("rootd", "a", "b", "c")])
def test_p57_secrets_in_their_order_the_first_a_passphrase(
    names: tuple[str, ...], esm: Esm
) -> None:
    words: list[object] = []
    for name in names:
        path = esm.put(name, b"content of " + name.encode())
        words += ["--passphrase-file", path] if name == "rootd" else []
        words += ["--secret", f"{name}={path}"] if name != "rootd" else []
    made = esm.build(*words)
    payload = payload_of(made[made.index(b"ESMO") :])
    blocks = opened(payload, esm.read("seed"))[1:]
    kinds = {"rootd": 2}
    contents = [b"content of " + name.encode() for name in names]
    assert [each[1] for each in blocks] == [*names]
    assert [each[0] for each in blocks] == [kinds.get(name, 3) for name in names]
    assert [each[2] for each in blocks] == contents
    assert not any(each in made for each in contents)


@given(st.data())
def test_p57_nothing_is_read_before_the_hmac_was_right(data: st.DataObject) -> None:
    """Whatever bit of the payload changed behind its header, the answer is E_MAC."""
    secret = Secret(type=2, name="rootd", content=b"passphrase")
    raw = operand(secrets=(secret,))
    start = raw.index(b"ESMP")
    at = data.draw(st.integers(start + 64, len(raw) - 1))
    found = EsmOperand.from_bytes(flipped(raw, at))
    with pytest.raises(OperandError) as caught:
        open_operand(found, SEED + bytes(8))
    assert caught.value.refusal == "E_MAC"
    assert "passphrase" not in str(caught.value)


# P61: one seed for all builds


def two_builds(esm: Esm) -> tuple[Path, Path]:
    """Versions 1 and 2 under one seed, for tpm1 with the floor 0."""
    for version in (1, 2):
        name = f"v{version}.img"
        esm.build("--security-version", version, name=name)
        esm("add", esm.path(name), *esm.key("tpm1"), *esm.seed)
    return esm.path("v1.img"), esm.path("v2.img")


def starts(image: Path) -> bool:
    """Whether the machine tpm1 would open it."""
    found = operand_in(image.read_bytes())
    sealed = unsealed("tpm1", found.slots[0])
    try:
        open_operand(found, sealed)
    except OperandError as error:
        assert error.refusal == "E_ROLLBACK"
        return False
    return True


def test_p61_one_seed_for_all_builds_and_an_older_one_still_starts(esm: Esm) -> None:
    old, new = two_builds(esm)
    assert starts(old)
    assert starts(new)
    ids = {json.loads(esm("list", each, "--json"))["svm_id"] for each in (old, new)}
    assert len(ids) == 1


def test_p61_newer_sealed_data_stops_an_older_build(esm: Esm) -> None:
    old, new = two_builds(esm)
    floor = ("--minimum-version", 2)
    esm("seal", *esm.key("tpm1"), *esm.seed, *floor, "-o", esm.path("floor"))
    for image in (old, new):
        esm("replace", image, "--slot", esm.path("floor"))
    assert not starts(old)
    assert starts(new)
    assert esm.verdict(old, *esm.seed, *floor)["verdict"] == "E_ROLLBACK"
    assert "E_ROLLBACK" in esm.refused(
        "replace", old, *esm.key("tpm1"), *esm.seed, *floor
    )


def test_p61_sealed_data_kept_from_before_still_opens_the_older_build(
    esm: Esm,
) -> None:
    """Nothing counts up: the cloud puts back what it kept."""
    old, _ = two_builds(esm)
    kept = old.read_bytes()[slot_place(old.read_bytes(), 0)]
    esm(
        "seal", *esm.key("tpm1"), *esm.seed, "--minimum-version", 2, "-o", esm.path("2")
    )
    esm("replace", old, "--slot", esm.path("2"))
    assert not starts(old)
    esm("replace", old, "--slot", esm.put("kept", kept))
    assert starts(old)


def test_p61_a_seed_for_each_build_is_another_model(esm: Esm) -> None:
    """Then sealed data of one build opens no other."""
    old, _ = two_builds(esm)
    kept = old.read_bytes()[slot_place(old.read_bytes(), 0)]
    other = ("--seed-file", esm.put("other", b"\x77" * 32))
    esm.build(*other, "--security-version", 2, name="other.img")
    esm("add", esm.path("other.img"), "--slot", esm.put("kept", kept))
    found = operand_in(esm.read("other.img"))
    with pytest.raises(OperandError, match="E_MAC"):
        open_operand(found, unsealed("tpm1", found.slots[0]))
    assert V2["seed"] != (b"\x77" * 32).hex()
