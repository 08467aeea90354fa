"""Keys of owners and machines: made, and read with their passwords."""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from esm_kit import blob_bytes
from esm_tool_kit import good, pef_esm, public, secret
from pefstack.tools.errors import UsageError
from pefstack.tools.esm import password
from pefstack.tools.esm.keys import read_secret_key
from pefstack.tools.esm.password import MAX_SIZE, password_of

Caught = pytest.CaptureFixture[str]
WORDS = b"correct horse \xff"


class Pair:
    """Where a pair of keys goes."""

    def __init__(self, folder: Path) -> None:
        self.public, self.secret = folder / "pub.pem", folder / "sec.pem"
        self.password = folder / "password"
        self.password.write_bytes(WORDS + b"\r\nand a second line\n")
        self.words = ("generate", "-p", self.public, "-s", self.secret)
        self.locked = (*self.words, "--password-file", self.password)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def key_opens(pair: Pair, folder: Path, *words: str | Path) -> int:
    """Whether the pair works for the owner of a blob: the exit code."""
    blob = folder / "blob.dtb"
    good("create", "-b", blob, "-p", pair.public)
    key = ("-s", pair.secret, *words)
    return pef_esm("authorize", "-b", blob, "-p", public("tpm1"), *key)


def test_a_pair_without_password(pair: Pair, tmp_path: Path) -> None:
    good(*pair.words, "--no-password")
    assert pair.secret.read_bytes().startswith(b"-----BEGIN RSA PRIVATE KEY-----")
    assert pair.public.read_bytes().endswith(b"-----END PUBLIC KEY-----\n")
    assert stat.S_IMODE(pair.secret.stat().st_mode) == 0o600
    assert key_opens(pair, tmp_path) == 0


def test_a_pair_with_a_password(pair: Pair, tmp_path: Path, capsys: Caught) -> None:
    good(*pair.locked)
    raw = pair.secret.read_bytes()
    assert load_pem_private_key(raw, WORDS).key_size == 2048  # type: ignore[union-attr]
    assert key_opens(pair, tmp_path, "--password-file", pair.password) == 0
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"wrong-one\n")
    assert key_opens(pair, tmp_path, "--password-file", wrong) == 2
    text = capsys.readouterr().err
    assert text == f"pef: {pair.secret}: the password is wrong\n"


def test_keys_that_are_there_are_not_lost_unasked(pair: Pair, capsys: Caught) -> None:
    good(*pair.words, "--no-password")
    before = pair.secret.read_bytes()
    for gone in (pair.public, pair.secret):
        assert pef_esm(*pair.words, "--no-password") == 2
        assert "is there already" in capsys.readouterr().err
        assert pair.secret.read_bytes() == before
        kept = gone.read_bytes()
        gone.unlink()
        assert pef_esm(*pair.words, "--no-password") == 2
        gone.write_bytes(kept)
    good(*pair.words, "--no-password", "--force")
    assert pair.secret.read_bytes() != before


def test_both_halves_in_one_file(pair: Pair, tmp_path: Path, capsys: Caught) -> None:
    (tmp_path / "link").symlink_to(pair.secret)
    for place in (pair.secret, tmp_path / "link", tmp_path / "x" / ".." / "sec.pem"):
        assert pef_esm("generate", "--no-password", "-s", pair.secret, "-p", place) == 2
        assert "need two files" in capsys.readouterr().err
    assert not pair.secret.exists()


def test_a_dry_run_writes_no_key(pair: Pair, capsys: Caught) -> None:
    good(*pair.words, "--no-password", "-n", "-v")
    assert capsys.readouterr().err.startswith("pef: key ")
    assert not pair.secret.exists()
    assert not pair.public.exists()


@pytest.mark.parametrize("raw", [b"", b"\n", b"\r\nx", b"x" * (MAX_SIZE + 1)])
def test_files_without_a_password(raw: bytes, pair: Pair, capsys: Caught) -> None:
    pair.password.write_bytes(raw)
    assert pef_esm(*pair.locked) == 2
    text = capsys.readouterr().err
    assert f"expected a password of 1 to {MAX_SIZE} bytes in the first line" in text
    assert "xx" not in text
    assert not pair.secret.exists()


def test_a_password_from_standard_input(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good(*pair.locked)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(WORDS + b"\n")))
    assert key_opens(pair, tmp_path, "--password-file", "-") == 0


def typed(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    """A person at the terminal."""
    left = list(answers)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt: left.pop(0))


def test_a_password_at_the_terminal(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spelt = os.fsdecode(WORDS)
    typed(monkeypatch, spelt, spelt)
    good(*pair.words)
    typed(monkeypatch, spelt)
    assert key_opens(pair, tmp_path) == 0
    assert load_pem_private_key(pair.secret.read_bytes(), WORDS)


def test_a_password_typed_wrong(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, capsys: Caught
) -> None:
    typed(monkeypatch, "first-try", "second-try")
    assert pef_esm(*pair.words) == 2
    text = capsys.readouterr().err
    assert text == "pef: the passwords are not the same\n"
    assert not pair.secret.exists()


def test_nobody_is_asked_without_a_terminal(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Caught
) -> None:
    good(*pair.locked)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(WORDS + b"\n")))
    monkeypatch.setattr("getpass.getpass", lambda prompt: os.fsdecode(WORDS))
    assert key_opens(pair, tmp_path) == 2
    assert "no terminal; use --password-file" in capsys.readouterr().err


def test_the_end_of_input_is_no_password(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, capsys: Caught
) -> None:
    def ended(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", ended)
    assert pef_esm(*pair.words) == 2
    assert "none was given" in capsys.readouterr().err


def test_no_password_and_a_password(pair: Pair, capsys: Caught) -> None:
    assert pef_esm(*pair.locked, "--no-password") == 2
    assert "exclude each other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "no PEM private key"),
        (public("owner").read_bytes(), "no PEM private key"),
        (bytes(0x4001), "0x4001 bytes, expected at most 0x4000"),
        (secret("owner").read_bytes()[:-300], "no PEM private key"),
        (
            b"-----BEGIN PRIVATE KEY-----\n"
            b"MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
            b"-----END PRIVATE KEY-----\n",
            "not an RSA key of 2048 bits",
        ),
    ],
)
def test_files_that_are_no_secret_key(
    raw: bytes, message: str, tmp_path: Path, capsys: Caught
) -> None:
    blob, file = tmp_path / "blob.dtb", tmp_path / "key"
    blob.write_bytes(blob_bytes("b"))
    file.write_bytes(raw)
    assert pef_esm("extract", "-b", blob, "-f", "rootd", "-s", file) == 2
    assert capsys.readouterr() == ("", f"pef: {file}: {message}\n")


def test_a_secret_key_does_not_show_itself() -> None:
    key = read_secret_key(secret("owner"), password_of(None))
    numbers = key.key.private_numbers()
    for text in (repr(key), str(key)):
        assert "RSAPrivateKey" not in text
        assert str(numbers.d) not in text


def test_a_password_that_openssl_does_not_take(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b"x" * MAX_SIZE)
    assert password.password_in(file) == b"x" * MAX_SIZE
    with pytest.raises(UsageError, match="found 0 bytes"):
        password.password_in(Path("/dev/null"))
