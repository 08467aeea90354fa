"""Flattened device trees of other people: IBM's ESM blobs, and what dtc makes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from interop import need
from pefstack.images.fdt import Fdt

VECTORS = Path(__file__).parents[1] / "vectors" / "esm"
EXPECTED: dict[str, Any] = json.loads((VECTORS / "expected.json").read_text())["blobs"]


def load(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


@pytest.mark.parametrize("name", "abc")
def test_blobs_from_the_field(name: str) -> None:
    raw, expected = load(f"blob-{name}.dtb"), EXPECTED[name]
    fdt = Fdt.from_bytes(raw)
    assert fdt.root.string("compatible") == "ibm,esm"
    assert [each.name for each in fdt.root.children] == ["lockboxes", "digest", "file"]
    found = {each.name: each for each in fdt.node("/lockboxes").children}
    assert list(found) == list(expected["lockboxes"])
    for key, box in expected["lockboxes"].items():
        fingerprint = fdt.node(f"/lockboxes/{key}/pubkey-fingerprint")
        assert fingerprint.value("hash").hex() == box["fingerprint"]
        size = len(found[key].value("encrypted-symkey"))
        assert size == box["encrypted_symkey_len"]
    digest = fdt.node("/digest/digests-fdt")
    assert digest.value("iv").hex() == expected["digest"]["iv"]
    assert digest.value("mac").hex() == expected["digest"]["mac"]
    assert digest.value("untrusted-comment").hex() == expected["digest"]["comment"]
    assert len(digest.value("ciphertext")) == expected["digest"]["ciphertext_len"]
    assert Fdt.from_bytes(fdt.to_bytes()) == fdt
    assert len(fdt.to_bytes()) == len(raw)


@pytest.mark.parametrize("name", "abc")
def test_digest_trees_from_the_field(name: str) -> None:
    raw, expected = load(f"plain/digests-{name}.dtb"), dict(EXPECTED[name]["digests"])
    fdt = Fdt.from_bytes(raw)
    assert fdt.root.string("compatible") == "ibm,esm"
    digests = fdt.node("/digests")
    assert digests.u32("kernel-size") == expected.pop("kernel-size")
    assert digests.string("algorithm") == expected.pop("algorithm")
    for key, value in expected.items():
        assert digests.value(key).hex() == value
    assert len(fdt.to_bytes()) == len(raw) == 509


@pytest.mark.parametrize("name", "bc")
def test_attachments_from_the_field(name: str) -> None:
    nested = Fdt.from_bytes(load(f"blob-{name}.dtb")).node("/file").value("files-fdt")
    fdt = Fdt.from_bytes(nested)
    assert fdt.root.string("compatible") == "ibm,esm-file"
    found = {
        each.name: (each.value("iv").hex(), each.value("mac").hex())
        for each in fdt.node("/files").children
    }
    files = EXPECTED[name]["files"].items()
    assert found == {key: (each["iv"], each["mac"]) for key, each in files}


SOURCE = """/dts-v1/;
/memreserve/ 0x0000000010000000 0x4000;
/ {
    compatible = "ibm,esm", "other";
    #address-cells = <2>;
    empty;
    memory@0 { device_type = "memory"; reg = <0 0 0 0x20000000>; };
    lockbox-1@0 { size = /bits/ 64 <0x123456789abcdef0>; odd = [01 02 03]; };
};
"""


def dtc(*words: str, text: bytes) -> bytes:
    program = need("dtc", "device-tree-compiler")
    command = [program, "-q", *words]
    return subprocess.run(command, input=text, capture_output=True, check=True).stdout


@pytest.mark.interop
@pytest.mark.parametrize("version", ["16", "17"])
def test_what_dtc_compiles(version: str) -> None:
    raw = dtc("-I", "dts", "-O", "dtb", "-V", version, "-b", "3", text=SOURCE.encode())
    assert raw[0x17] == int(version)
    fdt = Fdt.from_bytes(raw)
    assert (fdt.boot_cpuid, fdt.reserve_map) == (3, ((0x10000000, 0x4000),))
    assert fdt.root.strings("compatible") == ("ibm,esm", "other")
    assert fdt.root.u32("#address-cells") == 2
    assert fdt.root.value("empty") == b""
    assert fdt.node("/memory@0").cells("reg", 8) == (0, 0x20000000)
    box = fdt.node("/lockbox-1@0")
    assert box.u64("size") == 0x123456789ABCDEF0
    assert box.value("odd") == b"\1\2\3"


@pytest.mark.interop
def test_padding_that_dtc_adds() -> None:
    raw = dtc("-I", "dts", "-O", "dtb", "-p", "1000", text=SOURCE.encode())
    same = dtc("-I", "dts", "-O", "dtb", text=SOURCE.encode())
    assert len(raw) == len(same) + 1000
    assert Fdt.from_bytes(raw) == Fdt.from_bytes(same)


@pytest.mark.interop
@pytest.mark.parametrize("name", "abc")
def test_dtc_reads_what_we_write(name: str) -> None:
    """The same source text from IBM's bytes and from ours."""
    raw = load(f"blob-{name}.dtb")
    ours = Fdt.from_bytes(raw).to_bytes()
    texts = [dtc("-I", "dtb", "-O", "dts", text=each) for each in (raw, ours)]
    assert texts[0] == texts[1]
    assert b"encrypted-symkey" in texts[0]
    compiled = dtc("-I", "dts", "-O", "dtb", text=texts[1])
    assert Fdt.from_bytes(compiled) == Fdt.from_bytes(raw)
