"""pef inspect on ESM operands and ESM blobs: no key, and no secret shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from esm_kit import BLOBS, V2, VECTORS, blob_bytes, flipped, operand_bytes
from pefstack import FormatError
from pefstack.images.esm_refusal import OperandError
from pefstack.tools.cli.app import main
from pefstack.tools.inspection.inspect_file import Inspection, inspect_bytes


def named(found: Inspection) -> dict[str, str]:
    """Values by name; the regions cover the file without a gap."""
    at = 0
    for region in found.regions:
        assert region.offset == at, region.name
        at += region.size
    assert at == found.size
    return {region.name: region.value for region in found.regions}


def test_operand() -> None:
    found = inspect_bytes(operand_bytes())
    assert found.format == "ESM operand"
    values = named(found)
    name = V2["machines"]["storage-key"]["storage_key_name"][4:]
    assert values["slot 0"] == f"TPM import, machine {name}"
    assert values["slot 2"] == "RSA-OAEP lockbox, any machine"
    assert values["slot 3"] == "placeholder"
    assert V2["svm_id"] in values["payload header"]
    assert values["table of blocks"] == "encrypted, 4 blocks"
    assert values["blocks"] == "encrypted"
    assert values["HMAC"] == operand_bytes()[-64:].hex()


def test_integrity_in_clear() -> None:
    raw = operand_bytes("clear-integrity.bin")
    text = named(inspect_bytes(raw))["integrity"]
    assert text.startswith("in clear, not checked: security version 3; kernel 0x208")
    at = raw.index(b"INTG") + 5
    text = named(inspect_bytes(flipped(raw, at)))["integrity"]
    assert "E_INTEGRITY" in text


@pytest.mark.parametrize("name", V2["verdicts"])
def test_every_operand_is_shown_or_refused_by_name(name: str) -> None:
    try:
        named(inspect_bytes(operand_bytes(name)))
    except OperandError as error:
        assert error.refusal == V2["verdicts"][name]
    except FormatError as error:
        assert name in {"empty.bin", "magic.bin"}
        assert error.format_name in {"file", "FDT"}


@pytest.mark.parametrize("name", "abc")
def test_blob(name: str) -> None:
    found = inspect_bytes(blob_bytes(name))
    assert found.format == "ESM blob"
    values = named(found)
    assert "profile strict: nothing is wrong without a key" in values["header"]
    assert values["encrypted-symkey"] == "0x100 bytes, master key, under RSA-OAEP"
    assert values["ciphertext"] == "0x1fd bytes, under AES-256-GCM"
    for file, given in BLOBS[name]["files"].items():
        assert f"{file} 0x{given['len']:x} bytes" in values["files-fdt"]


def test_a_blob_that_is_only_real() -> None:
    raw = blob_bytes("a").replace(b"ibm,esm\0", b"ibm,xsm\0", 1)
    found = inspect_bytes(raw)
    assert found.format == "ESM blob"
    assert "B_COMPATIBLE" in named(found)["header"]


def test_attachments_that_are_broken() -> None:
    raw = blob_bytes("b")
    at = raw.rindex(b"\xd0\x0d\xfe\xed")
    values = named(inspect_bytes(flipped(raw, at + 2)))
    assert "B_FILES_TREE" in values["files-fdt"]
    assert "B_FILES_TREE" in values["header"]


def test_a_digest_tree_is_a_device_tree() -> None:
    raw = (VECTORS / "plain" / "digests-a.dtb").read_bytes()
    assert inspect_bytes(raw).format == "device tree"


def test_at_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "operand.bin"
    path.write_bytes(operand_bytes())
    assert main(["inspect", str(path)]) == 0
    assert "slot 3" in capsys.readouterr().out
    path.write_bytes(flipped(operand_bytes(), 23))
    assert main(["inspect", str(path)]) != 0
    assert "E_LIMIT" in capsys.readouterr().err
