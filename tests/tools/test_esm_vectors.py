"""pef esm beside IBM's svm-tool: its blobs, its images, its keys, its YAML."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from esm_kit import BLOBS, VECTORS, blob_bytes
from esm_tool_kit import (
    INITRDS,
    INPUTS,
    KEYS,
    ScriptedStream,
    good,
    guest,
    ibms_blob,
    public,
    randomness_of,
    secret,
)
from interop import need
from pefstack.images.esm_blob import EsmBlob
from pefstack.images.initramfs import find_blob
from pefstack.tools.esm.config import read_config
from pefstack.tools.esm.keys import master_key, read_secret_key
from pefstack.tools.esm.make_blob import make_blob
from pefstack.tools.esm.password import password_of

Caught = pytest.CaptureFixture[str]
NO_PASSWORD = password_of(Path("/dev/null"))


@pytest.mark.parametrize("name", "abc")
def test_the_same_input_and_randomness_give_ibms_blob(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte, but for what libfdt leaves in padding."""
    monkeypatch.chdir(VECTORS)
    stream = ScriptedStream(randomness_of(name))
    config = read_config(Path(f"blob-{name}.yml"))
    made = make_blob(config, NO_PASSWORD, stream).to_bytes()
    assert stream.parts == []
    assert made == ibms_blob(name)


@pytest.mark.parametrize("name", "abc")
def test_the_command_makes_a_blob_that_every_key_opens(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(VECTORS)
    out = tmp_path / "blob.dtb"
    good("make", "-b", out, "-y", f"blob-{name}.yml")
    blob, ibm = (EsmBlob.from_bytes(p) for p in (out.read_bytes(), blob_bytes(name)))
    assert [each.name for each in blob.lockboxes] == [e.name for e in ibm.lockboxes]
    digests, keys = ibm.open_digests(bytes.fromhex(BLOBS[name]["master_key"])), set()
    for given in BLOBS[name]["lockboxes"].values():
        key = master_key(
            blob, read_secret_key(VECTORS / given["opens_with"], NO_PASSWORD)
        )
        keys.add(key)
        assert blob.open_digests(key) == digests
    assert len(keys) == 1
    assert keys.isdisjoint({bytes.fromhex(BLOBS[name]["master_key"])})


def homes(name: str) -> list[Path]:
    zimage = [VECTORS / "zimage" / "zImage-le-gz.elf"] if name == "a" else []
    return [VECTORS / f"blob-{name}.dtb", VECTORS / f"esmb-initrd-{name}.img", *zimage]


PLACES = [(name, home) for name in "abc" for home in homes(name)]


@pytest.mark.parametrize(("name", "home"), PLACES)
def test_display_of_ibms_blobs_and_images(
    name: str, home: Path, capsys: Caught
) -> None:
    key = "tpm1" if name == "a" else "tpm2"
    good("display", "-b", home, "-s", secret(key), "--json")
    found, expected = json.loads(capsys.readouterr().out), BLOBS[name]
    boxes = expected["lockboxes"]
    assert {each["name"] for each in found["lockboxes"]} == set(boxes)
    for each in found["lockboxes"]:
        assert each["fingerprint"] == boxes[each["name"]]["fingerprint"]
    assert {each["name"]: each["size"] for each in found["files"]} == {
        file: given["len"] for file, given in expected["files"].items()
    }
    values = dict(expected["digests"])
    assert values.pop("algorithm") == "SHA512"
    assert found["digests"]["values"] == values


@pytest.mark.parametrize(("name", "home"), PLACES)
def test_extract_from_ibms_blobs_and_images(
    name: str, home: Path, tmp_path: Path
) -> None:
    for file in BLOBS[name]["files"]:
        out = tmp_path / file
        good("extract", "-b", home, "-f", file, "-s", secret("owner"), "-o", out)
        assert (
            out.read_bytes() == (VECTORS / "plain" / f"file-{name}-{file}").read_bytes()
        )


@pytest.mark.parametrize(("name", "home"), PLACES)
def test_digests_of_ibms_blobs_and_images(name: str, home: Path) -> None:
    good("digest", "--check", "-b", home, "-s", secret("owner"), *guest(name))


@pytest.mark.parametrize("name", "abc")
def test_the_image_lies_as_ibms_does(name: str, tmp_path: Path) -> None:
    """Blob, archive's size and rest; files' times and owners are none here."""
    blob, out = tmp_path / f"blob-{name}.dtb", tmp_path / "image"
    blob.write_bytes(blob_bytes(name))
    good("svm-add", "-i", INPUTS / INITRDS[name], "-b", blob, "-f", out)
    ours = out.read_bytes()
    theirs = (VECTORS / f"esmb-initrd-{name}.img").read_bytes()
    assert find_blob(ours) == find_blob(theirs)
    given: dict[str, Any] = BLOBS[name]["esmb_initrd"]
    assert (len(ours), find_blob(ours).offset) == (given["size"], given["blob_offset"])
    rest = given["blob_archive_size"]
    assert ours[rest:] == theirs[rest:]
    start, size = given["blob_offset"], given["blob_size"]
    assert ours[start : start + size] == blob_bytes(name)
    # the first 110 bytes of the header of the blob's file name its folder the same way
    assert (
        ours[start - 60 : start].split(b"\0")[-2:]
        == theirs[start - 60 : start].split(b"\0")[-2:]
    )


def test_other_programs_read_a_blob_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libfdt finds the lockbox, OpenSSL opens it."""
    fdtget = need("fdtget", "device-tree-compiler")
    openssl = need("openssl", "openssl")
    monkeypatch.chdir(VECTORS)
    out = tmp_path / "blob.dtb"
    good("make", "-b", out, "-y", "blob-b.yml")
    key = master_key(
        EsmBlob.from_bytes(out.read_bytes()),
        read_secret_key(secret("owner"), NO_PASSWORD),
    )
    path = ["/lockboxes/lockbox-2", "encrypted-symkey"]
    shown = subprocess.run(
        [fdtget, "-t", "bx", out, *path], capture_output=True, check=True, text=True
    ).stdout
    (tmp_path / "symkey").write_bytes(bytes(int(each, 16) for each in shown.split()))
    options = ("rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256")
    words = [word for each in options for word in ("-pkeyopt", each)]
    opened = subprocess.run(
        [
            *(openssl, "pkeyutl", "-decrypt", "-inkey", str(secret("tpm2"))),
            *("-in", str(tmp_path / "symkey"), *words),
        ],
        capture_output=True,
        check=True,
    )
    assert opened.stdout == key


def test_the_keys_are_the_vectors() -> None:
    """The tests above mean what they say only with three different keys."""
    names = ("owner", "tpm1", "tpm2")
    assert len({public(name).read_bytes() for name in names}) == 3
    assert {path.name for path in KEYS.iterdir()} == {
        f"{name}.{half}.pem" for name in names for half in ("pub", "sec")
    }
