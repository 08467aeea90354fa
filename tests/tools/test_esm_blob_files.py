"""The blob's file: alone, before an initramfs, in a zImage; the YAML of esm make."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from esm_kit import VECTORS, blob_bytes, operand_bytes
from esm_tool_kit import INITRDS, INPUTS, good, guest, pef_esm, public, secret
from pefstack.images.cpio import file_with_folders, write_archive
from pefstack.images.initramfs import FOLDER, find_blob
from pefstack.tools.esm.blob_edit import new_blob
from pefstack.tools.esm.config import ENTRIES, MAX_SIZE
from pefstack.tools.esm.keys import read_public_key
from pefstack.tools.esm.randomness import stream_of

Caught = pytest.CaptureFixture[str]
OWNER = ("-s", secret("owner"))
INITRD = INPUTS / INITRDS["b"]


@pytest.fixture
def blob(tmp_path: Path) -> Path:
    path = tmp_path / "blob.dtb"
    path.write_bytes(blob_bytes("b"))
    return path


@pytest.fixture
def image(tmp_path: Path, blob: Path) -> Path:
    path = tmp_path / "image"
    good("svm-add", "-i", INITRD, "-b", blob, "-f", path)
    return path


def refusal(caught: Caught, *words: str | Path, code: int = 2) -> str:
    caught.readouterr()
    assert pef_esm(*words) == code
    printed = caught.readouterr()
    assert not printed.out
    return printed.err


def test_a_blob_changed_in_its_image(image: Path, capsys: Caught) -> None:
    """The archive grows or shrinks by whole blocks; what follows it stays."""
    good("attach", "-b", image, "-f", INPUTS / "binfile", "-r", "more", *OWNER)
    good("detach", "-b", image, "-f", "rootd")
    raw = image.read_bytes()
    assert find_blob(raw).rest_of(raw) == INITRD.read_bytes()
    assert f"{FOLDER}/blob.dtb".encode() in raw
    good("digest", "--check", "-b", image, *OWNER, *guest("b"))
    good("display", "-b", image)
    out = capsys.readouterr().out
    assert "file more" in out
    assert "file rootd" not in out


def test_permissions_of_a_changed_file_stay(blob: Path) -> None:
    blob.chmod(0o640)
    good("detach", "-b", blob, "-f", "rootd")
    assert stat.S_IMODE(blob.stat().st_mode) == 0o640


def test_a_zimage_is_read_only(tmp_path: Path, capsys: Caught) -> None:
    path = tmp_path / "zImage"
    raw = (VECTORS / "zimage" / "zImage-le-gz.elf").read_bytes()
    path.write_bytes(raw)
    text = refusal(capsys, "revoke", "-b", path, "-p", public("tpm1"), "--last")
    assert "a zImage is read only" in text
    assert path.read_bytes() == raw


@pytest.mark.parametrize("name", ["zImage-le-xz-noblob.elf", "zImage-be-none.elf"])
def test_a_zimage_without_a_blob(name: str, capsys: Caught) -> None:
    path = VECTORS / "zimage" / name
    """Nor in the initramfs that it brings along; a 32-bit wrapper has no section."""
    text = refusal(capsys, "display", "-b", path, code=3)
    assert "initramfs: name" in text
    assert "expected opt/ibm/pef" in text


def test_an_operand_is_no_blob(tmp_path: Path, capsys: Caught) -> None:
    operand, image = tmp_path / "operand", tmp_path / "image"
    operand.write_bytes(operand_bytes())
    good("svm-add", "-i", INITRD, "-b", operand, "-f", image)
    for path in (operand, image):
        text = refusal(capsys, "display", "-b", path)
        assert "an operand (v2), expected an ESM blob (v1)" in text


@pytest.mark.parametrize(
    ("raw", "code"),
    [(b"", 3), (b"\xd0\x0d\xfe\xed", 3), (bytes(4096), 3), (b"0707", 3)],
)
def test_files_that_are_no_blob(
    raw: bytes, code: int, tmp_path: Path, capsys: Caught
) -> None:
    path = tmp_path / "x"
    path.write_bytes(raw)
    assert "B_TREE" in refusal(capsys, "display", "-b", path, code=code)


def test_files_that_cannot_be_read_or_written(blob: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone" / "x"
    assert pef_esm("display", "-b", gone) == 2
    assert pef_esm("display", "-b", tmp_path) == 2
    assert pef_esm("create", "-b", gone, "-p", public("owner")) == 2
    assert pef_esm("svm-add", "-i", INITRD, "-b", blob, "-f", gone) == 2


def test_a_blob_in_front_is_not_buried(image: Path, blob: Path, capsys: Caught) -> None:
    words = ("svm-add", "-i", image, "-b", blob, "-f", image)
    before = image.read_bytes()
    assert "has a blob in front; use --replace" in refusal(capsys, *words)
    good("detach", "-b", blob, "-f", "rootd")
    good(*words, "--replace")
    raw = image.read_bytes()
    assert find_blob(raw).rest_of(raw) == find_blob(before).rest_of(before)
    assert raw.count(b"TRAILER!!!") == before.count(b"TRAILER!!!")


def test_other_files_of_the_archive_are_not_lost(
    tmp_path: Path, blob: Path, capsys: Caught
) -> None:
    more = [
        *file_with_folders(f"{FOLDER}/blob.dtb", blob.read_bytes()),
        file_with_folders(f"{FOLDER}/other", b"precious")[-1],
    ]
    image = tmp_path / "two"
    image.write_bytes(write_archive(more) + INITRD.read_bytes())
    before = image.read_bytes()
    for words in (
        ("svm-add", "-i", image, "-b", blob, "-f", image, "--replace"),
        ("detach", "-b", image, "-f", "rootd"),
    ):
        text = refusal(capsys, *words)
        names = "opt/ibm/pef/blob.dtb, opt/ibm/pef/other"
        assert f"more in it than the blob: {names}" in text
    assert image.read_bytes() == before


def test_no_guest_gets_an_unfinished_blob(tmp_path: Path, capsys: Caught) -> None:
    bare, out = tmp_path / "bare", tmp_path / "out"
    good("create", "-b", bare, "-p", public("owner"))
    words = ("svm-add", "-i", INITRD, "-b", bare, "-f", out)
    assert "B_ITEM" in refusal(capsys, *words, code=3)
    bare.write_bytes(operand_bytes()[:-1])
    assert "E_SIZE" in refusal(capsys, *words, code=3)
    assert not out.exists()


COMMANDS: list[tuple[str, ...]] = [
    ("create", "-p", str(public("owner"))),
    ("make", "-y", "blob-c.yml"),
    ("revoke", "-p", str(public("tpm1"))),
    ("detach", "-f", "rootd"),
    ("attach", "-f", "in/binfile", "-r", "x", *map(str, OWNER)),
    ("digest", "--replace", *map(str, OWNER), *guest("a")),
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_dry_run_writes_nothing(
    words: tuple[str, ...], blob: Path, monkeypatch: pytest.MonkeyPatch, capsys: Caught
) -> None:
    monkeypatch.chdir(VECTORS)
    good(*words, "-b", blob, "-n", "-v")
    assert "pef: would write: " in capsys.readouterr().err
    assert blob.read_bytes() == blob_bytes("b")
    good(*words, "-b", blob)
    assert blob.read_bytes() != blob_bytes("b")


def test_a_dry_run_of_the_others(blob: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    good("extract", "-n", "-b", blob, "-f", "rootd", *OWNER, "-o", out)
    good("svm-add", "-n", "-i", INITRD, "-b", blob, "-f", out)
    assert not out.exists()


def test_randomness_is_new_unless_there_is_a_seed(tmp_path: Path) -> None:
    def made(*words: str) -> bytes:
        good("create", "-b", tmp_path / "x", "-p", public("owner"), *words)
        return (tmp_path / "x").read_bytes()

    assert made("--seed", "1") == made("--seed", "1")
    assert len({made(), made(), made("--seed", "1"), made("--seed", "2")}) == 4


def test_the_master_key_is_not_written_anywhere(tmp_path: Path) -> None:
    """It is searched where it would be if it leaked, with the seed that gives it."""
    good("create", "-b", tmp_path / "x", "-p", public("owner"), "--seed", "1")
    owner = read_public_key(public("owner"))
    blob, key = new_blob(owner, stream_of("1"))
    assert blob.to_bytes() == (tmp_path / "x").read_bytes()
    for form in (key, key[::-1], key.hex().encode()):
        assert form not in blob.to_bytes()
    assert key.hex() not in repr(blob)


GOOD = f"""
- origin: {{pubkey: {public("owner")}}}
- digest: {{args: x, initramfs: {INITRD}, kernel: {INPUTS / "vmlinux-b.elf"}}}
"""


def made_of(folder: Path, text: str | bytes) -> tuple[str | Path, ...]:
    path = folder / "x.yml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return "make", "-b", folder / "x.dtb", "-y", path


def test_every_value_is_a_text(tmp_path: Path, capsys: Caught) -> None:
    """Numbers, truth values, dates: what YAML takes for something else is no text."""
    text = GOOD.replace("args: x", "comment: yes, args: 0x10")
    good(*made_of(tmp_path, text))
    words: tuple[str | Path, ...] = (
        "-b",
        tmp_path / "x.dtb",
        *OWNER,
        "-a",
        "0x10",
        *guest("b")[1:],
    )
    good("digest", "--check", *words)
    capsys.readouterr()
    good("display", "-b", tmp_path / "x.dtb")
    assert "digests-fdt untrusted-comment yes" in capsys.readouterr().out


ENTRY = f"- file: {{path: {INPUTS / 'rootpass'}, name: x}}\n"
WRONG: list[tuple[str | bytes, str]] = [
    ("", "expected a list of entries"),
    ("x", "expected a list of entries"),
    ("origin: {pubkey: x}", "expected a list of entries"),
    ("- x", "entry 1: expected one of origin, recipient, digest, file, and a colon"),
    ("- {origin: 1, file: 2}", "entry 1: expected one of"),
    (GOOD + "- nonsense: {x: y}\n", "entry 3: 'nonsense', expected one of"),
    (GOOD + "- file: x\n", "entry 3 (file): expected keys with values; there are"),
    (GOOD + "- file: {path: [x]}\n", "entry 3 (file): path: expected a text"),
    (GOOD + "- file: {name: x}\n", "entry 3 (file): path is missing"),
    (GOOD + "- file: {path: x, pth: y}\n", "entry 3 (file): 'pth' is no key"),
    (GOOD + "- file: {path: x, path: y}\n", "a key twice"),
    (GOOD + GOOD, "expected one origin entry and one digest entry"),
    (GOOD.splitlines()[2], "expected one origin entry"),
    (GOOD.splitlines()[1] + "\n" + ENTRY, "a digest entry is missing"),
    (GOOD + ENTRY + ENTRY, "x: the blob has an attachment of this name"),
    (GOOD + f"- recipient: {{pubkey: {public('owner')}}}", "authorized already, by"),
    (b"- \xff", "no YAML"),
    ("- [", "no YAML"),
    ("[" * 5000, "no YAML"),
    ("- !!python/object/apply:os.getcwd []", "entry 1: expected one of"),
    (" " * (MAX_SIZE + 1), "larger than 1 MiB"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_yaml_files_that_are_refused(
    text: str | bytes, message: str, tmp_path: Path, capsys: Caught
) -> None:
    words = made_of(tmp_path, text)
    assert message in refusal(capsys, *words)
    assert not (tmp_path / "x.dtb").exists()


def test_two_halves_of_one_key(tmp_path: Path, capsys: Caught) -> None:
    """Without the owner's secret key nobody changes the blob later."""
    pair = f"{{pubkey: {public('owner')}, seckey: {secret('tpm1')}}}"
    text = GOOD.replace(f"{{pubkey: {public('owner')}}}", pair)
    words = made_of(tmp_path, text)
    assert "are not two halves of one key" in refusal(capsys, *words)
    good(*made_of(tmp_path, text.replace(str(secret("tpm1")), str(secret("owner")))))


def test_a_blob_of_its_owner_alone(tmp_path: Path) -> None:
    good(*made_of(tmp_path, GOOD.splitlines()[1]))
    assert set(ENTRIES) == {"origin", "recipient", "digest", "file"}


def loaded_by(*words: str) -> set[str]:
    """The modules that a command needs, in a process of its own."""
    code = f"""if True:
        import sys
        from pefstack.tools.cli.app import main
        sys.argv = ["somebody-elses-program", "boot"]
        try:
            main({list(words)!r})
        except SystemExit:
            pass
        print(*sys.modules, file=sys.stderr)"""
    run = [sys.executable, "-P", "-c", code]
    done = subprocess.run(run, capture_output=True, check=True, text=True)
    return {*done.stderr.split()}


def test_only_the_command_that_is_called_is_loaded() -> None:
    """Whatever sys.argv says: entry points and tests call it, too."""
    commands = "pefstack.tools.cli.esm"
    found = loaded_by("esm", "display", "--help")
    mine = {name for name in found if name.startswith(f"{commands}.")}
    assert mine == {f"{commands}.{name}" for name in ("display", "digest", "options")}
    assert not {"yaml", "cryptography"} & found
    assert not [n for n in loaded_by("esm", "--help") if n.startswith(f"{commands}.")]


def test_a_short_form_of_an_option_is_none(tmp_path: Path, capsys: Caught) -> None:
    """--seed is not --seed-file."""
    assert pef_esm("check", tmp_path / "x", "--seed", "x") == 2
    assert "unrecognized arguments: --seed" in capsys.readouterr().err
