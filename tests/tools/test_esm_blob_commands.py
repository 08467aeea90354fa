"""pef esm on blobs, command by command: what is written, and what is refused."""

from __future__ import annotations

import json
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from esm_kit import VECTORS, blob_bytes, flipped
from esm_tool_kit import INPUTS, good, guest, pef_esm, public, secret
from pefstack.images.esm_blob import EsmBlob
from pefstack.tools.esm.randomness import stream_of
from pefstack.tools.esm_sealing import make_lockbox

Caught = pytest.CaptureFixture[str]
OWNER = ("-s", secret("owner"))


@pytest.fixture
def blob(tmp_path: Path) -> Path:
    """Two machines, two attachments, digests; of IBM's tool."""
    path = tmp_path / "blob.dtb"
    path.write_bytes(blob_bytes("b"))
    return path


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The owner's lockbox and nothing else."""
    path = tmp_path / "bare.dtb"
    good("create", "-b", path, "-p", public("owner"))
    return path


def refused(caught: Caught, *words: str | Path, code: int = 2) -> str:
    """The message; nothing is printed, and nothing written to the blob."""
    before = {each: each.read_bytes() for each in paths_of(words)}
    assert pef_esm(*words) == code
    printed = caught.readouterr()
    assert not printed.out
    assert {each: each.read_bytes() for each in before} == before
    return printed.err


def paths_of(words: tuple[str | Path, ...]) -> list[Path]:
    return [each for each in words if isinstance(each, Path) and each.is_file()]


def shown(caught: Caught, path: Path) -> dict[str, Any]:
    caught.readouterr()
    good("display", "-b", path, "--json")
    found: dict[str, Any] = json.loads(caught.readouterr().out)
    return found


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_one_by_one_gives_what_ibms_tool_makes_at_once(
    bare: Path, blob: Path, capsys: Caught
) -> None:
    good("create", "-b", bare, "-p", public("owner"), "-c", "origin key")
    for machine, comment in (("tpm1", "machine one"), ("tpm2", "machine two")):
        good("authorize", "-b", bare, "-p", public(machine), *OWNER, "-c", comment)
    good("digest", "-b", bare, *OWNER, *guest("b"), "-c", "digests")
    comment = "root disk passphrase"
    rootd = ("-f", INPUTS / "rootpass", "-r", "rootd", "-c", comment)
    good("attach", "-b", bare, *rootd, "-s", secret("tpm1"))
    good("attach", "-b", bare, "-f", INPUTS / "binfile", "-r", "bin.1", *OWNER)
    assert shown(capsys, bare) == shown(capsys, blob)
    good("digest", "--check", "-b", bare, "-s", secret("tpm2"), *guest("b"))


def test_a_key_is_authorized_once(bare: Path, capsys: Caught) -> None:
    words = ("authorize", "-b", bare, *OWNER, "-p")
    good(*words, public("tpm1"))
    text = refused(capsys, *words, public("tpm1"))
    assert "this key is authorized already, by lockbox-1" in text
    assert "by origin-lockbox" in refused(capsys, *words, public("owner"))
    good(*words, public("tpm2"))
    names = [each["name"] for each in shown(capsys, bare)["lockboxes"]]
    assert names == ["origin-lockbox", "lockbox-1", "lockbox-2"]


def test_who_has_no_lockbox_authorizes_nobody(bare: Path, capsys: Caught) -> None:
    words = ("authorize", "-b", bare, "-p", public("tpm1"), "-s")
    text = refused(capsys, *words, secret("tpm2"))
    assert "no lockbox of the blob opens with this key" in text


def test_a_key_without_its_last_newline_is_found_again(
    bare: Path, tmp_path: Path, capsys: Caught
) -> None:
    """IBM's tool makes a second lockbox then, which no secret key finds."""
    short = tmp_path / "tpm1.pem"
    short.write_bytes(public("tpm1").read_bytes().rstrip(b"\n"))
    words = ("authorize", "-b", bare, *OWNER, "-p")
    good(*words, short)
    assert "authorized already" in refused(capsys, *words, public("tpm1"))
    good("digest", "-b", bare, "-s", secret("tpm1"), *guest("b"))
    good("revoke", "--last", "-b", bare, "-p", short)
    assert len(shown(capsys, bare)["lockboxes"]) == 1


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "no PEM public key, expected a public key"),
        (secret("tpm1").read_bytes(), "a private key, expected a public key"),
        (bytes(0x4001), "0x4001 bytes, expected at most 0x4000"),
        (
            b"-----BEGIN PUBLIC KEY-----\n"
            b"MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
            b"-----END PUBLIC KEY-----\n",
            "not an RSA key of 2048 bits",
        ),
    ],
)
def test_files_that_are_no_public_key(
    raw: bytes, message: str, bare: Path, tmp_path: Path, capsys: Caught
) -> None:
    file = tmp_path / "key"
    file.write_bytes(raw)
    text = refused(capsys, "authorize", "-b", bare, "-p", file, *OWNER)
    assert text == f"pef: {file}: {message}\n"


def test_revoked_is_who_is_named(blob: Path, capsys: Caught) -> None:
    good("revoke", "-b", blob, "-p", public("tpm1"))
    assert "the real ultravisor opens no other" in capsys.readouterr().err
    names = [each["name"] for each in shown(capsys, blob)["lockboxes"]]
    assert names == ["origin-lockbox", "lockbox-2"]
    text = refused(capsys, "revoke", "-b", blob, "-p", public("tpm1"))
    assert "this key is not authorized" in text
    text = refused(capsys, "revoke", "-b", blob, "-p", public("tpm2"))
    assert "lockbox-2 is the last lockbox of a machine" in text
    good("revoke", "-b", blob, "-p", public("tpm2"), "--last")
    text = refused(capsys, "revoke", "-b", blob, "-p", public("owner"), "--last")
    assert "the owner's key" in text


@pytest.mark.parametrize("name", ["", "1st", "a b", "a/b", "a" * 32, "ü", "-x", "a\n"])
def test_names_that_no_attachment_has(name: str, blob: Path, capsys: Caught) -> None:
    words = ("attach", "-b", blob, "-f", INPUTS / "rootpass", *OWNER, f"-r={name}")
    if name:
        assert "B_FILE_NAME" in refused(capsys, *words)
    else:  # none was given, so that of the file
        good(*words)
        assert shown(capsys, blob)["files"][0]["name"] == "rootpass"


def test_attachments_have_their_bounds(
    blob: Path, tmp_path: Path, capsys: Caught
) -> None:
    words = ("attach", "-b", blob, *OWNER, "-f")
    file = tmp_path / "file"
    file.write_bytes(bytes(0x10000))
    assert "B_CIPHERTEXT" in refused(capsys, *words, file)
    file.write_bytes(bytes(0xFFFF))  # fits, but not beside the others
    assert "B_FILES_TREE" in refused(capsys, *words, file)
    text = refused(capsys, *words, INPUTS / "rootpass", "-r", "rootd")
    assert "rootd: the blob has an attachment of this name" in text
    text = refused(capsys, *words, INPUTS / "rootpass", "-c", "two\nlines")
    assert "comment" in text


def test_detached_is_gone_and_the_others_stay(
    blob: Path, tmp_path: Path, capsys: Caught
) -> None:
    good("detach", "-b", blob, "-f", "rootd")
    for command in ("detach", "extract"):
        key = OWNER if command == "extract" else ()
        text = refused(capsys, command, "-b", blob, "-f", "rootd", *key)
        assert "rootd: not attached; there are: bin.1" in text
    out = tmp_path / "out"
    good("extract", "-b", blob, "-f", "bin.1", *OWNER, "-o", out)
    assert out.read_bytes() == (VECTORS / "plain" / "file-b-bin.1").read_bytes()


def test_extracted_is_for_its_owner_alone(blob: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.touch(mode=0o644)
    good("extract", "-b", blob, "-f", "rootd", *OWNER, "-o", out)
    assert mode_of(out) == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["blob.dtb", "out"]


def test_a_secret_is_not_shown_on_a_terminal_unasked(
    blob: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    content = (VECTORS / "plain" / "file-b-rootd").read_bytes()
    words = ("extract", "-b", blob, "-f", "rootd", *OWNER)
    good(*words)
    assert capfdbinary.readouterr().out == content
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert pef_esm(*words) == 2
    assert content not in b"".join(capfdbinary.readouterr())
    good(*words, "-o", "-")
    assert capfdbinary.readouterr().out == content


def test_changed_bytes_are_not_given_out(
    blob: Path, tmp_path: Path, capsys: Caught
) -> None:
    """One bit of an attachment: exit code 3, and no file."""
    raw = blob.read_bytes()
    parsed = EsmBlob.from_bytes(raw)
    at = raw.index(parsed.files_fdt[-800:-700]) + 50
    blob.write_bytes(flipped(raw, at))
    out = tmp_path / "out"
    words = ("extract", "-b", blob, *OWNER, "-o", out, "-f")
    codes = {name: pef_esm(*words, name) for name in ("bin.1", "rootd")}
    assert sorted(codes.values()) == [0, 3]
    out.unlink()
    broken = next(name for name, code in codes.items() if code)
    assert "B_TAG" in refused(capsys, *words, broken, code=3)
    assert not out.exists()


def test_a_damaged_lockbox_is_named(blob: Path, capsys: Caught) -> None:
    """The key is right, so it is the blob that is malformed."""
    raw = blob.read_bytes()
    box = EsmBlob.from_bytes(raw).lockboxes[-1]
    blob.write_bytes(flipped(raw, raw.index(box.encrypted_symkey) + 9))
    words = ("extract", "-b", blob, "-f", "rootd", "-s")
    text = refused(capsys, *words, secret("owner"), code=3)
    assert "B_LOCKBOX" in text
    assert box.name in text
    good(*words, secret("tpm1"))


def test_a_master_key_that_somebody_else_chose_gets_no_secret(
    blob: Path, capsys: Caught
) -> None:
    """Whoever has the owner's public key can write the owner a lockbox."""
    there = EsmBlob.from_bytes(blob.read_bytes())
    pem, known = public("owner").read_bytes(), bytes(32)
    box = make_lockbox("origin-lockbox", pem, known, stream_of("1"))
    blob.write_bytes(replace(there, lockboxes=(box,)).to_bytes())
    words = ("attach", "-b", blob, "-f", INPUTS / "rootpass", "-r", "x", *OWNER)
    assert "B_TAG" in refused(capsys, *words, code=3)


def test_digests_are_compared_part_by_part(
    blob: Path, tmp_path: Path, capsys: Caught
) -> None:
    words = ["digest", "--check", "--json", "-b", str(blob), "-s", str(secret("owner"))]
    line, initrd, kernel = guest("b")[0], *guest("b")[2::2]
    other, others = guest("a")[0], guest("a")[2::2]
    for wrong, parts in (
        (["bootargs"], (other, initrd, kernel)),
        (["bootargs"], (line.rstrip(), initrd, kernel)),
        (["initrd"], (line, others[0], kernel)),
        (["kernel", "kernel-size"], (line, initrd, others[1])),
        ([], (line, initrd, kernel)),
    ):
        code = pef_esm(*words, parts[0], "-i", parts[1], "-k", parts[2])
        found = json.loads(capsys.readouterr().out)
        assert (found["differing"], code) == (wrong, int(bool(wrong)))
    assert blob.read_bytes() == blob_bytes("b")


def test_digests_are_not_replaced_unasked(blob: Path, capsys: Caught) -> None:
    words: tuple[str | Path, ...] = ("digest", "-b", blob, *OWNER, *guest("a"))
    assert "has digests; use --replace or --check" in refused(capsys, *words)
    good(*words, "--replace")
    good(*words, "--check")


def test_guests_that_have_no_digest(bare: Path, tmp_path: Path, capsys: Caught) -> None:
    kernel, initrd = str(INPUTS / "vmlinux-a.elf"), str(INPUTS / "initrd-a.cpio")
    words = ("digest", "-b", bare, *OWNER, "-i", initrd)
    text = refused(capsys, *words, "-a", "a\0b", "-k", kernel)
    assert "the command line has a NUL in it" in text
    assert "ELF" in refused(capsys, *words, "-a", "", "-k", initrd, code=3)
    gone = str(tmp_path / "gone")
    assert "No such file" in refused(capsys, *words, "-a", "", "-k", gone)


def test_digests_of_a_zimage_are_those_of_its_kernel(bare: Path) -> None:
    line, _, initrd, _, _ = guest("a")
    zimage = VECTORS / "zimage" / "zImage-le-gz.elf"
    good("digest", "-b", bare, *OWNER, line, "-i", initrd, "-k", zimage)
    good("digest", "--check", "-b", bare, *OWNER, *guest("a"))
    image = VECTORS / "esmb-initrd-a.img"  # the archive in front is left out
    good("digest", "--check", "-b", bare, *OWNER, line, "-i", image, "-k", zimage)


def test_without_the_key_no_digest_is_shown(blob: Path, capsys: Caught) -> None:
    assert "values" not in shown(capsys, blob)["digests"]
    good("display", "-b", blob, "-v")
    out = capsys.readouterr().out
    assert "recipient lockbox-2 " in out
    good("display", "-b", blob, *OWNER)
    assert "digest kernel-size 4360" in capsys.readouterr().out


def test_a_comment_cannot_command_the_terminal(bare: Path, capsys: Caught) -> None:
    good("create", "-b", bare, "-p", public("owner"), "-c", "\x1b[2Jx")
    good("display", "-b", bare)
    assert "\x1b" not in capsys.readouterr().out
