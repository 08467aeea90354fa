"""Guests as a machine file describes them: built, kept, and what can't be built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pefstack import FormatError, Machine, UsageError
from pefstack.firmware.memory_map import UV_TPM_ADDRESS, UV_TPM_SIZE
from pefstack.images.cpio import read_archive
from pefstack.images.errors import FormatError as ImageError
from pefstack.images.esm_blob import EsmBlob
from pefstack.images.initramfs import find_blob
from pefstack.images.zimage import Zimage
from pefstack.tools import image_cache
from pefstack.tools.built import build_folder, built_files
from pefstack.tools.cli.app import main
from pefstack.tools.guest_parts import kernel_parts
from pefstack.tools.machine_file import BUILT_IN, load
from sealed_guest_kit import PASSPHRASE, guest_of, operand_of, sealed_bytes

SVM = BUILT_IN / "svm.toml"
NAMES = ["svm", "svm-v1", "svm-zimage"]
SECRETS = (PASSPHRASE, b"made-up data of the customer")


def files_of(name: str, *settings: str) -> dict[str, bytes]:
    path = BUILT_IN / f"{name}.toml"
    made = built_files(path, load(path, settings))
    return {file: bytes(raw) for file, raw in made.items()}


def forms(secret: bytes) -> tuple[bytes, ...]:
    """As it would be found: raw, in hex, backwards."""
    return secret, secret.hex().encode(), secret[::-1]


@pytest.mark.parametrize("name", NAMES)
def test_two_builds_give_the_same_bytes_and_show_no_secret(name: str) -> None:
    files = files_of(name)
    assert files == files_of(name)
    assert set(files) >= {"guest-kernel.bin", "tpm.state"}
    assert ("guest-initrd.bin" in files) is (name != "svm-zimage")
    everything = b"|".join(files.values())
    for secret in SECRETS:
        assert not any(form in everything for form in forms(secret))


@pytest.mark.parametrize("name", NAMES)
def test_a_built_folder_boots_like_the_machine_by_name(
    name: str, tmp_path: Path
) -> None:
    path = BUILT_IN / f"{name}.toml"
    build_folder(path, load(path), tmp_path)
    assert (tmp_path / "tpm.state").stat().st_mode & 0o777 == 0o600
    there, named = Machine(tmp_path).run("opal"), Machine(name).run("opal")
    assert sealed_bytes(guest_of(there)) == sealed_bytes(guest_of(named))
    left = [
        each.board.secure.read(UV_TPM_ADDRESS, UV_TPM_SIZE) for each in (there, named)
    ]
    assert left[0] == left[1]
    shown = repr(there) + repr(there.board.guest_images) + repr([*there.journal])
    assert not any(form in shown.encode() for s in SECRETS for form in forms(s))


def test_what_is_made_of_filler() -> None:
    images = guest_of(Machine("svm"))
    flat = bytes(kernel_parts(images.kernel).kernel or b"")
    assert flat[:4] == bytes.fromhex("00000048")
    assert 0x80000 <= len(flat) < 0x82000
    rest = find_blob(images.initrd).rest_of(images.initrd)
    names = {entry.name: entry for entry in read_archive(rest)[0]}
    assert {".", "init", "etc/hostname", "usr/data"} <= set(names)
    assert len(names["usr/data"].data) == 0x40000
    assert names["init"].mode == 0o100755


def test_what_is_sealed_decides_the_keys_of_a_build() -> None:
    """Two builds under one seed and one nonce would show how they differ."""
    base = ["image.guest.kernel.fill=0x4000", "image.guest.initrd.fill=0x1000"]
    changes: tuple[list[str], ...] = (
        [],
        ["image.guest.kernel.seed=other"],
        ["image.guest.append=svm=on"],
        ["image.guest.secret.customer-data.text=other"],
        ["image.guest.secret.more.text=more"],
        ["image.guest.security-version=2"],
        ["image.guest.seed=other"],
    )
    nonces = [nonce_of(*base, *each) for each in changes]
    assert len(set(nonces)) == len(changes)


def nonce_of(*settings: str) -> bytes:
    return operand_of(Machine("svm", settings=settings)).payload[40:56]


def test_v1_items_have_keys_of_their_own_build() -> None:
    blobs = [
        sealed_bytes(guest_of(Machine("svm-v1", settings=each)))
        for each in ([], ["image.guest.secret.customer-data.text=other"])
    ]
    items = [EsmBlob.from_bytes(blob).digests for blob in blobs]
    ivs = [item.iv for item in items if item is not None]
    assert len(ivs) == 2
    assert ivs[0] != ivs[1]


def test_nothing_is_sealed_with_place_none() -> None:
    settings = ["image.guest.place=none", "machine.pef.provision=off"]
    machine = Machine("svm", settings=settings)
    with pytest.raises(ImageError):
        find_blob(guest_of(machine).initrd)
    assert "tpm.state" not in files_of("svm", *settings)


def test_the_guests_command_line_is_the_one_measured_unless_another_is_said() -> None:
    lines = []
    for setting in ("about=x", "machine.guest.command-line=svm=on init=/bin/sh"):
        spec = Machine("svm", settings=[setting]).board.spec.guest
        assert spec is not None
        lines.append(spec.command_line)
    assert lines == ["console=hvc0 svm=on", "svm=on init=/bin/sh"]


def test_another_kernel_at_run_time_and_none(tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinux"
    kernel.write_bytes(b"flat" * 64)
    given = f"machine.guest-kernel.file={kernel}"
    changed = Machine("svm", settings=[given])
    assert bytes(guest_of(changed).kernel) == b"flat" * 64
    same = Machine("svm")
    assert bytes(guest_of(same).kernel) != b"flat" * 64
    initrds = [bytes(guest_of(each).initrd) for each in (changed, same)]
    assert initrds[0] == initrds[1]
    back = Machine("svm", settings=["machine.guest-kernel.file="])
    assert back.board.guest_images is None
    alone = Machine("small", settings=[given])
    assert bytes(guest_of(alone).kernel) == b"flat" * 64
    assert alone.board.spec.guest is not None
    assert Machine("small").board.guest_images is None


def test_a_built_folder_has_the_files_that_were_given(tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinux"
    kernel.write_bytes(b"flat" * 64)
    given = (f"machine.guest-kernel.file={kernel}", "machine.tpm-state.file=")
    files, built = files_of("svm", *given), files_of("svm")
    assert files["guest-kernel.bin"] == b"flat" * 64
    assert files["guest-initrd.bin"] == built["guest-initrd.bin"]
    assert "tpm.state" not in files
    build_folder(SVM, load(SVM, given), tmp_path / "out")
    machine = Machine(tmp_path / "out")
    assert bytes(guest_of(machine).kernel) == b"flat" * 64


def test_a_tpm_can_come_provisioned_without_a_guest() -> None:
    settings = ["image.provisioned=true", "machine.pef.provision=strict"]
    machine = Machine("small", settings=settings).run("opal")
    made = [each.detail["handle"] for each in machine.journal if each.kind == "persist"]
    assert made == [0x81800001]  # its new password; the others were there
    bare = Machine("small", settings=settings[1:]).run("opal")
    made = [each.detail["handle"] for each in bare.journal if each.kind == "persist"]
    assert sorted(made) == [0x81800000, 0x81800001, 0x81800002]


def test_damaged_state_is_refused(tmp_path: Path) -> None:
    build_folder(SVM, load(SVM), tmp_path)
    state = tmp_path / "tpm.state"
    raw = bytearray(state.read_bytes())
    raw[-1] ^= 1
    state.write_bytes(raw)
    with pytest.raises(FormatError, match="SHA-256"):
        Machine(tmp_path)
    state.unlink()
    with pytest.raises(UsageError, match=r"tpm\.state"):
        Machine(tmp_path)


def test_state_of_a_tpm_with_other_banks_is_refused(tmp_path: Path) -> None:
    build_folder(SVM, load(SVM), tmp_path)
    with pytest.raises(FormatError):
        Machine(tmp_path, settings=['machine.tpm.banks=["sha256"]'])


GUEST = "image.guest"
IMPOSSIBLE = [
    (f"{GUEST}.kernel.fill=0x800", f"{GUEST}.kernel", "found fill 0x800, expected a"),
    (f"{GUEST}.kernel={{text='x'}}", f"{GUEST}.kernel", "give one of"),
    (f"{GUEST}.kernel.xz=true", f"{GUEST}.kernel.xz", "only files are"),
    (f"{GUEST}.initrd.fill=0x10", f"{GUEST}.initrd", "found fill 0x10"),
    (f"{GUEST}.secret.1st.text=x", GUEST, "E_TOC_NAME"),
    (f"{GUEST}.secret.big.fill=0x10001", GUEST, "big: found 0x10001 bytes"),
    (f'{GUEST}.append="x\\u0000"', f"{GUEST}.append", "holds a NUL"),
    ("machine.pef.provision=off", "machine.pef.provision", "needs real or strict"),
    ("machine.tpm.allocated=['sha1']", "machine.tpm.allocated", "no SHA-256"),
    (f"{GUEST}=5", f"{GUEST}", "found 5, expected a table"),
    ("machine.fuses.hw-key-hash='" + "00" * 64 + "'", f"{GUEST}.pcr-value", "unknown"),
]


@pytest.mark.parametrize(("setting", "key", "problem"), IMPOSSIBLE)
def test_what_cannot_be_built_is_named(
    tmp_path: Path, setting: str, key: str, problem: str
) -> None:
    with pytest.raises(UsageError) as wrong:
        build_folder(SVM, load(SVM, [setting]), tmp_path / "out")
    assert key in str(wrong.value)
    assert problem in str(wrong.value)
    assert not (tmp_path / "out").exists()


def test_a_kernel_that_is_not_there(tmp_path: Path) -> None:
    settings = [f"{GUEST}.kernel.fill=0", f"{GUEST}.kernel.file={tmp_path}/none"]
    with pytest.raises(UsageError, match="none: No such file"):
        build_folder(SVM, load(SVM, settings), tmp_path / "out")


def with_file(tmp_path: Path, key: str, raw: bytes) -> list[str]:
    path = tmp_path / "input"
    path.write_bytes(raw)
    return [f"{GUEST}.{key}.fill=0", f"{GUEST}.{key}.file={path}"]


def test_an_initramfs_that_has_an_operand_already(tmp_path: Path) -> None:
    there = files_of("svm")["guest-initrd.bin"]
    settings = with_file(tmp_path, "initrd", there)
    with pytest.raises(UsageError, match="has an ESM blob or operand already"):
        build_folder(SVM, load(SVM, settings), tmp_path / "out")


@pytest.mark.parametrize("what", ["flat", "zImage"])
def test_only_a_vmlinux_goes_into_a_zimage(tmp_path: Path, what: str) -> None:
    raw = b"flat" * 64 if what == "flat" else files_of("svm-zimage")["guest-kernel.bin"]
    settings = [*with_file(tmp_path, "kernel", raw), f"{GUEST}.place=zimage"]
    with pytest.raises(UsageError, match="expected a vmlinux"):
        build_folder(SVM, load(SVM, settings), tmp_path / "out")


def test_a_damaged_kernel_is_named(tmp_path: Path) -> None:
    raw = files_of("svm")["guest-kernel.bin"][:200]
    settings = with_file(tmp_path, "kernel", raw)
    with pytest.raises(UsageError, match=r"image\.guest: ELF"):
        build_folder(SVM, load(SVM, settings), tmp_path / "out")


def test_a_file_is_sealed_as_it_is(tmp_path: Path) -> None:
    raw = b"flat" * 64
    settings = with_file(tmp_path, "kernel", raw)
    machine = Machine("svm", settings=settings)
    assert bytes(guest_of(machine).kernel) == raw
    assert operand_of(machine).payload != operand_of(Machine("svm")).payload


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of machines that are built, with a cache of its own."""
    monkeypatch.setenv("PEFSTACK_CACHE", str(tmp_path / "cache"))
    seen: list[str] = []
    build = build_folder

    def counted(path: Path, document: dict[str, Any], folder: Path) -> list[Path]:
        seen.append(document["name"])
        return build(path, document, folder)

    monkeypatch.setattr(image_cache, "build_folder", counted)
    return seen


def test_what_only_runs_needs_no_new_build(builds: list[str]) -> None:
    for setting in (
        "about=x",
        "machine.chip.smd=true",
        "machine.tpm.dies-at=40",
        "machine.guest.command-line=x",
        "machine.pef.esm=real",
    ):
        Machine("svm", settings=[setting])
    assert builds == ["svm"]


def test_what_is_sealed_or_sealed_to_is_built_again(builds: list[str]) -> None:
    changes = (
        "about=x",
        "machine.tpm.seed=other",
        "machine.pef.nv-index=0x01c101a1",
        "machine.pef.provision=real",
        f"{GUEST}.secret.rootfs-passphrase.text=other",
        f"{GUEST}.append=x",
    )
    for setting in changes:
        Machine("svm", settings=[setting])
    assert len(builds) == len(changes)


def test_our_own_code_for_guests_counts(
    builds: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Machine("svm")
    monkeypatch.setattr(image_cache, "_BUILDS_GUESTS", ("tools/esm_sealing.py",))
    Machine("svm")
    Machine("small")
    monkeypatch.setattr(image_cache, "_BUILDS_GUESTS", ())
    Machine("small")
    assert builds == ["svm", "svm", "small"]


@pytest.mark.parametrize("file", ["tpm.state", "guest-initrd.bin", "guest-kernel.bin"])
def test_what_is_not_whole_is_built_again(
    builds: list[str], tmp_path: Path, file: str
) -> None:
    Machine("svm")
    (folder,) = (tmp_path / "cache").glob("svm-*")
    (folder / file).unlink()
    Machine("svm")
    assert builds == ["svm", "svm"]
    assert (folder / file).is_file()


def test_our_own_tools_open_what_was_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_folder(SVM, load(SVM), tmp_path)
    image = str(tmp_path / "guest-initrd.bin")
    assert main(["esm", "check", image, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "OK"
    assert main(["inspect", image]) == 0
    assert "ESM operand" in capsys.readouterr().out
    zimage = tmp_path / "zImage"
    zimage.write_bytes(files_of("svm-zimage")["guest-kernel.bin"])
    assert main(["esm", "check", str(zimage), "--json"]) == 0
    assert Zimage.from_bytes(zimage.read_bytes()).initrd is not None
