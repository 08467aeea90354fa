"""pef esm, operands: vectors of another program, options, files, messages."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any, Final

import pytest

from elf_kit import Made, Part
from esm_kit import SEALED_DATA, V2, VECTORS, blob_bytes, flipped, operand_bytes
from operand_kit import (
    GUEST,
    INITRD,
    KERNEL,
    LINE,
    NONCE,
    PCR6,
    STORAGE_KEY,
    Esm,
    storage_area,
    storage_id,
)
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.esm_refusal import OperandRefusal

V2_FILES: Final = VECTORS / "v2"
WITHOUT_KEY: Final = [*OperandRefusal][: [*OperandRefusal].index("E_NO_SLOT")]
STORAGE: Final = ("--storage-key", STORAGE_KEY, "--pcr6", PCR6)
BUILT: Final = ("--svm-id", V2["svm_id"], *NONCE, "--security-version", 3, "--slots", 4)


@pytest.fixture
def esm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Esm:
    return Esm(tmp_path, capsys)


def secrets(esm: Esm) -> tuple[object, ...]:
    more = [f"{name}={esm.path(name)}" for name in ("crypttab", "empty")]
    named = [word for each in more for word in ("--secret", each)]
    return ("--passphrase-file", esm.path("rootd"), *named)


# verdicts of another program


@pytest.mark.parametrize("name", V2["verdicts"])
def test_named_verdicts(name: str, esm: Esm) -> None:
    """102 operands; with the seed as named, without it as far as no key is needed."""
    right = V2["verdicts"][name]
    words = (*esm.seed, "--minimum-version", V2["minimum_version"])
    assert esm.verdict(V2_FILES / name, *words)["verdict"] == right
    found = esm.verdict(V2_FILES / name)
    assert found["verdict"] == (right if right in WITHOUT_KEY else "OK")
    assert bool(found["field"]) == (found["verdict"] != "OK")


@pytest.mark.parametrize("case", V2["digest_cases"], ids=lambda c: c["guest"])
def test_named_digests(case: dict[str, Any], esm: Esm) -> None:
    kernel = (VECTORS / "in" / "vmlinux-a.bin").read_bytes()
    initrd, line, rtas = INITRD.read_bytes(), LINE, bytes.fromhex("7c641b783c600000")
    if 1 in case["differs"] and case["file"] == "good.bin":
        kernel = flipped(kernel, len(kernel) - 1)
    if 2 in case["differs"]:
        line += "\0"
    words: list[object] = ["--kernel", esm.put("k", kernel), "--append", line]
    if 3 in case["differs"]:
        initrd = flipped(initrd, 900)
        words += ["--rtas", esm.put("r", rtas)]
    words += ["--initrd", esm.put("i", initrd)]
    found = esm.verdict(V2_FILES / case["file"], *esm.seed, *words)
    names = {1: "kernel", 2: "command line", 3: "initramfs", 4: "RTAS"}
    differs = ", ".join(names[each] for each in case["differs"])
    assert found["found"] == (differs and f"another {differs}")
    assert found["verdict"] == ("E_DIGEST" if differs else "OK")


@pytest.mark.parametrize("case", V2["sealed_data_cases_on_good"][:5])
def test_named_sealed_data(case: dict[str, str], esm: Esm) -> None:
    raw = bytes.fromhex(case["sealed_data"])
    words = ("--minimum-version", int.from_bytes(raw[32:36], "big"))
    found = esm.verdict(V2_FILES / "good.bin", *esm.seed, *words)
    assert found["verdict"] == case["verdict"]


@pytest.mark.parametrize(
    ("file", "options"),
    [("placeholder.bin", ()), ("clear-integrity.bin", ("--clear-integrity",))],
)
def test_built_as_by_another_program(
    file: str, options: tuple[str, ...], esm: Esm
) -> None:
    """Seed, nonce, identity and inputs of the vectors give their bytes."""
    esm.build(*BUILT, *secrets(esm), *options, "-o", esm.path("operand"))
    made, theirs = esm.read("operand"), operand_bytes(file)
    assert EsmOperand.from_bytes(made).payload == EsmOperand.from_bytes(theirs).payload
    assert made == operand_bytes("placeholder.bin") or options
    for name in ("vmlinux-a.bin", "vmlinux-a.elf"):
        kernel = VECTORS / "in" / name
        words = ("--kernel", kernel, "--append", LINE, "--initrd", INITRD, *esm.seed)
        esm("build", *words, *BUILT, *secrets(esm), *options, "-o", esm.path("again"))
        assert esm.read("again") == made
    assert esm.read("guest.img").endswith(INITRD.read_bytes())


# build: files and options


def test_a_new_seed_is_for_its_owner_alone_and_never_written_over(esm: Esm) -> None:
    path = esm.path("new")
    esm.build("--new-seed", "--seed-file", path)
    first = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(first) == 32
    assert esm.verdict(esm.path("guest.img"), "--seed-file", path)["verdict"] == "OK"
    words = (*GUEST, "--initrd", INITRD, "--image", esm.path("x"))
    text = esm.refused("build", *words, "--seed-file", path, "--new-seed")
    assert "not written over" in text
    assert path.read_bytes() == first
    assert not esm.path("x").exists()


def test_nothing_is_written_when_anything_is_wrong(esm: Esm) -> None:
    words: tuple[object, ...] = (*GUEST, "--seed-file", esm.path("new"), "--new-seed")
    assert "initramfs" in esm.refused("build", *words, "--image", esm.path("x"))
    big = esm.put("big", bytes(0x10001))
    words = (*words, "--initrd", INITRD, "--image", esm.path("x"))
    text = esm.refused("build", *words, "--secret", f"big={big}")
    assert "secret big: found 0x10001 bytes" in text
    assert esm.run("build", *words, "--secret", f"1x={big}") == 2
    assert "E_TOC_NAME" in esm.refused("build", *words, "--secret", f"1x={INITRD}")
    assert not esm.path("new").exists()
    assert not esm.path("x").exists()


def test_two_builds_differ_by_their_nonce_and_the_image_stays_the_same(
    esm: Esm,
) -> None:
    headers = []
    for _ in range(2):
        made = esm.build()
        at = made.index(b"ESMP")
        headers.append((made[at + 24 : at + 40], made[at + 40 : at + 56]))
    assert headers[0][0] == headers[1][0]
    assert headers[0][1] != headers[1][1]
    assert esm.build(*NONCE) == esm.build(*NONCE)
    other = esm.build(*NONCE, "--seed-file", esm.put("other", bytes(32)))
    assert headers[0][0] not in other


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing to write"),
        (("-o", "x"), "--kernel: missing"),
        (("-o", "x", "--kernel", KERNEL), "no command line, initramfs"),
        (("-o", "x", *GUEST), "no initramfs"),
        (("-o", "x", *GUEST, "--initrd", INITRD, "--secret", "x"), "NAME=FILE"),
        (("-o", "x", *GUEST, "--initrd", INITRD, "--zimage", "y"), "zImage"),
        (("-o", "x", *GUEST, "--initrd", INITRD, "--append", "a\0b"), "a NUL in it"),
        (
            ("-o", "x", "--kernel", VECTORS / "in" / "initrd-b.cpio.xz"),
            "compressed (xz)",
        ),
        (("-o", "x", "--kernel", VECTORS / "in" / "empty"), "found 0x0 bytes"),
    ],
)
def test_builds_that_are_refused(
    words: tuple[object, ...], message: str, esm: Esm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(esm.folder)
    assert esm.run("build", *esm.seed, *words) in (2, 3)
    assert message in esm.err
    assert not esm.path("x").exists()


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_seed_of_another_size_is_refused_and_not_shown(size: int, esm: Esm) -> None:
    seed = esm.put("odd", b"\xabSECRET" * 5 + bytes(9))
    seed.write_bytes(seed.read_bytes()[:size])
    words = (*GUEST, "--initrd", INITRD, "-o", esm.path("x"), "--seed-file", seed)
    text = esm.refused("build", *words)
    assert f"seed: found 0x{size:x} bytes" in text
    assert "SECRET" not in text


def test_an_initramfs_with_an_operand_or_a_blob_is_not_measured(esm: Esm) -> None:
    made = esm.build()
    words = (*GUEST, *esm.seed, "-o", esm.path("x"))
    text = esm.refused("build", *words, "--initrd", esm.path("guest.img"))
    size = len(made) - INITRD.stat().st_size
    assert f"tail -c +{size + 1}" in text
    blob = VECTORS / "esmb-initrd-a.img"
    assert "already" in esm.refused("build", *words, "--initrd", blob)


def test_what_a_zimage_brings_along_is_measured(esm: Esm) -> None:
    """Kernel and initramfs of a foreign boot wrapper; its own go before others."""
    zimage = VECTORS / "zimage" / "zImage-le-gz.elf"
    words = (*BUILT, *esm.seed, *secrets(esm), "-o", esm.path("x"))
    esm("build", "--kernel", zimage, "--append", LINE, *words)
    assert esm.read("x") == operand_bytes("placeholder.bin")
    given = ("--append", LINE, "--initrd", INITRD)
    text = esm.refused("build", "--kernel", zimage, *given, *words)
    assert "--initrd: not used by this zImage" in text
    own = Part("__builtin_cmdline", 0x9000, LINE.encode() + bytes(8))
    packed = Part(".kernel:vmlinux.strip", 0x1000, KERNEL.read_bytes())
    initrd = Part(".kernel:initrd", 0x8000, INITRD.read_bytes())
    made = esm.put("z", Made([packed, initrd, own], type=3).to_bytes())
    esm("build", "--kernel", made, *words)
    assert esm.read("x") == operand_bytes("placeholder.bin")
    text = esm.refused("build", "--kernel", made, "--append", LINE, *words)
    assert "--append: not used by this zImage" in text


# add, replace, remove: what is refused


def test_a_storage_key_of_another_policy_is_refused(esm: Esm) -> None:
    before = esm.build()
    image = (esm.path("guest.img"), "--storage-key", STORAGE_KEY, *esm.seed)
    wrong = "0" * 64
    assert "check the index number and PCR6" in esm.refused(
        "add", *image, "--pcr6", wrong
    )
    for more in (("--pcr", 7), ("--nv-index", "0x01c101a1")):
        text = esm.refused("add", *image, "--pcr6", PCR6, *more)
        assert "policy" in text
    assert "--pcr6: missing" in esm.refused("add", *image)
    assert esm.read("guest.img") == before


def test_the_seed_of_another_image_is_refused(esm: Esm) -> None:
    before = esm.build("--security-version", 3)
    image = (esm.path("guest.img"), *STORAGE)
    other = esm.put("other", b"\x5a" * 32)
    assert "E_MAC" in esm.refused("add", *image, "--seed-file", other)
    text = esm.refused("add", *image, *esm.seed, "--minimum-version", 4)
    assert "found 0x3, expected at least 0x4 (E_ROLLBACK)" in text
    assert "--seed-file: missing" in esm.refused("add", *image)
    assert esm.read("guest.img") == before
    esm("add", *image, *esm.seed, "--minimum-version", 3)


def test_placeholders_run_out_and_a_machine_has_one_slot(esm: Esm) -> None:
    esm.build("--slots", 2)
    image = (esm.path("guest.img"), *esm.seed)
    esm("add", *image, *STORAGE)
    assert "has slot 0; `pef esm replace`" in esm.refused("add", *image, *STORAGE)
    esm("add", *image, *esm.key("tpm1"))
    text = esm.refused("add", *image, *esm.key("tpm2"))
    assert "no placeholder among 2 slots; `pef esm remove`" in text
    esm("remove", esm.path("guest.img"), "--machine", storage_id("tpm1")[:8])
    esm("add", *image, *esm.key("tpm2"))
    shown = json.loads(esm("list", esm.path("guest.img"), "--json"))
    ids = [each["machine_id"] for each in shown["slots"]]
    assert ids == [storage_id("storage-key"), storage_id("tpm2")]


def test_which_slot_is_meant(esm: Esm) -> None:
    esm.build("--slots", 3)
    image = esm.path("guest.img")
    esm("add", image, *STORAGE, *esm.seed)
    assert "0 slots for machine ffff" in esm.refused(
        "remove", image, "--machine", "ffff"
    )
    assert "a placeholder" in esm.refused("remove", image, "--number", 1)
    assert "expected 0 to 2" in esm.refused("remove", image, "--number", 3)
    text = esm.refused("replace", image, *esm.key("tpm1"), *esm.seed)
    assert "0 slots for machine" in text
    out = esm("replace", image, *esm.key("tpm1"), *esm.seed, "--number", 0, "--json")
    assert json.loads(out)["machine_id"] == storage_id("tpm1")
    old = ("--machine", storage_id("tpm1")[:6])
    esm("replace", image, *STORAGE, *esm.seed, *old)
    esm("replace", image, *STORAGE, *esm.seed)
    esm("add", image, *esm.key("tpm2"), *esm.seed)
    assert esm.run("replace", image, *STORAGE, *esm.seed, "--number", 1) == 3
    assert "E_SLOT_DUP" in esm.err


def test_a_lockbox_and_a_slot_for_any_machine(esm: Esm) -> None:
    esm.build("--slots", 3)
    image = (esm.path("guest.img"), *esm.seed)
    wrapping = storage_area("tpm1").replace(
        bytes.fromhex("00060080004300100800"), bytes.fromhex("00100017000b0800")
    )
    key = ("--wrapping-key", esm.put("w", wrapping))
    text = esm.refused("add", *image, *key, "--pcr6", PCR6)
    assert "--pcr6: says nothing together with --wrapping-key" in text
    for _ in range(2):
        esm("add", *image, *key, "--any-machine")
    shown = json.loads(esm("list", image[0], "--json"))["slots"]
    assert [each["machine_id"] for each in shown] == ["any", "any", ""]
    assert shown[0]["kind"] == "RSA-OAEP lockbox"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ((V2_FILES / "storage-key.pem").read_bytes(), "tpm2_readpublic -o"),
        (b"", "0x0000"),
        (bytes(0x401), "at most 0x400"),
        (b"\0\x23" + bytes(80), "an RSA key"),
        (storage_area("tpm1")[:-1], "no TPMT_PUBLIC"),
    ],
)
def test_files_that_are_no_key(raw: bytes, message: str, esm: Esm) -> None:
    esm.build()
    key = ("--storage-key", esm.put("k", raw), "--pcr6", PCR6)
    assert message in esm.refused("add", esm.path("guest.img"), *key, *esm.seed)


def test_both_forms_of_a_public_area(esm: Esm) -> None:
    esm.build()
    area = storage_area("tpm2")
    for name, raw in (("a", area), ("b", len(area).to_bytes(2, "big") + area)):
        key = ("--storage-key", esm.put(name, raw), "--pcr6", PCR6)
        out = esm("seal", *key, *esm.seed, "-o", esm.path("slot"))
        assert storage_id("tpm2") in out


def test_a_slot_from_a_file(esm: Esm) -> None:
    esm.build()
    slot = esm.path("slot")
    esm("seal", *STORAGE, *esm.seed, "-o", slot)
    assert slot.stat().st_size == 2048
    image = (esm.path("guest.img"), "--slot", slot)
    text = esm.refused("add", *image, *esm.seed)
    assert "--seed-file: says nothing together with --slot" in text
    slot.write_bytes(bytes(2048))
    assert "nothing is sealed in it" in esm.refused("add", *image)
    slot.write_bytes(bytes(2047))
    assert esm.run("add", *image) == 3


# images


def test_images_without_an_operand(esm: Esm) -> None:
    for name in ("esmb-initrd-a.img", "blob-a.dtb", "zimage/zImage-le-gz.elf"):
        text = esm.refused("list", VECTORS / name)
        assert "found an ESM blob (v1), expected an operand (v2)" in text
    for path in (INITRD, KERNEL, VECTORS / "zimage" / "zImage-be-none.elf"):
        assert esm.run("check", path) == 3, path
        assert not esm.out


def test_a_changed_image_keeps_its_mode_and_is_written_elsewhere(esm: Esm) -> None:
    before = esm.build()
    image = esm.path("guest.img")
    image.chmod(0o640)
    esm("add", image, *STORAGE, *esm.seed, "-o", esm.path("other.img"))
    assert image.read_bytes() == before
    assert esm.verdict(esm.path("other.img"))["verdict"] == "OK"
    esm("add", image, *STORAGE, *esm.seed)
    assert stat.S_IMODE(image.stat().st_mode) == 0o640
    assert image.read_bytes() != before
    assert (
        sorted(each.name for each in esm.folder.iterdir() if each.name[0] == ".") == []
    )


def test_what_is_said_and_what_is_not(esm: Esm) -> None:
    """No output has the seed or a secret in it; what was not checked is named."""
    shown = [
        esm(
            "build",
            *GUEST,
            "--initrd",
            INITRD,
            *secrets(esm),
            *esm.seed,
            *NONCE,
            "--image",
            esm.path("guest.img"),
            *more,
        )
        for more in ((), ("--json",))
    ]
    image = esm.path("guest.img")
    shown.append(esm("add", image, *STORAGE, *esm.seed))
    shown.append(esm("list", image))
    shown.append(esm("check", image, *esm.seed, *GUEST))
    assert "unchecked  a slot for the machine\n" in shown[-1]
    shown.append(esm("check", image))
    assert "unchecked  a slot for the machine; HMAC" in shown[-1]
    esm.run("check", image, "--seed-file", esm.put("other", b"\x11" * 32))
    shown.append(esm.out)
    everything = "".join(shown)
    for secret in (SEALED_DATA[:32], esm.read("rootd"), b"\x11" * 32):
        assert secret.hex() not in everything
        assert secret.decode("latin-1") not in everything
    assert "--seed-file: missing" in esm.refused("check", image, "--append", LINE)


def test_a_blob_is_no_operand(esm: Esm) -> None:
    path = esm.put("blob", blob_bytes("a"))
    assert "ESM blob" in esm.refused("list", path)
    assert esm.verdict(path)["verdict"] == "E_MAGIC"
