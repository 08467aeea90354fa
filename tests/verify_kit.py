"""What the tests of `pef verify` share: images to verify, and one way to ask."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import pytest

from container_matrix import HW_KEY_HASH, table, variants
from pefstack import Machine
from pefstack.images import ecc
from pefstack.images.rejection import Rejection
from pefstack.images.sb_settings import SbSettings
from pefstack.images.sbe_payload import patent_sbe_fw
from pefstack.images.signing import SigningOptions, sign_header
from pefstack.images.xip_build import build_image
from pefstack.tools.cli.app import main
from strategies import imprint_keys

Caught = pytest.CaptureFixture[str]
MAGIC: Final = bytes.fromhex("17082011")
GOOD: Final = "0x0000000000000103"
CODE: Final = hashlib.shake_128(b"code").digest(64)
BASE: Final = hashlib.shake_128(b"base").digest(100)
SBV: Final = hashlib.shake_128(b"sb verification").digest(60)
HASH: Final = HW_KEY_HASH.hex()

# field, its new value, what is made right again
PROVOKED: dict[Rejection, tuple[str, int, str]] = {
    Rejection.CONTAINER_VERSION: ("version", 2, "raw"),
    Rejection.PREFIX_VER_ALG: ("prefix.hash_alg", 2, "signed"),
    Rejection.HEADER_VER_ALG: ("software.version", 2, "signed"),
    Rejection.HW_KEY_HASH: ("hw_pkey_b", 1, "raw"),
    Rejection.HW_SIGNATURE: ("prefix.flags", 0, "raw"),
    Rejection.PREFIX_ECID: ("prefix.ecid_count", 1, "signed"),
    Rejection.PREFIX_HASH: ("prefix.payload_hash", 0, "signed"),
    Rejection.SW_KEY_PROTECTION: ("prefix.payload_size", 131, "hashed"),
    Rejection.SW_KEY_COUNT: ("prefix.sw_key_count", 0, "hashed"),
    Rejection.SW_SIGNATURE: ("software.flags", 1, "raw"),
    Rejection.HEADER_ECID: ("software.ecid_count", 1, "signed"),
    Rejection.HEADER_HASH: ("software.payload_hash", 0, "signed"),
    Rejection.CODE_PROTECTION: ("software.code_start_offset", 64, "signed"),
    Rejection.ENTRY_POINT: ("software.code_start_offset", 2, "signed"),
    Rejection.SECURE_VERSION: ("software.security_version", 0, "signed"),
    Rejection.MAGIC_NUMBER: ("magic", 0, "raw"),
    Rejection.PREFIX_HEADER_SIZE: ("prefix.ecid_count", 19, "signed"),
    Rejection.PREFIX_PAYLOAD_SIZE: ("prefix.payload_size", 401, "hashed"),
    Rejection.SW_PAYLOAD_SIZE: ("software.payload_size", 32, "hashed"),
    Rejection.COMPONENT_ID: ("software.component_id", 0, "signed"),
}


def verified(
    capsys: Caught, path: Path, *words: str, code: int | None = None
) -> dict[str, Any]:
    """The JSON answer; the exit code agrees with it."""
    status = main(["verify", str(path), *words, "--json"])
    shown = capsys.readouterr()
    assert shown.err == ""
    answer: dict[str, Any] = json.loads(shown.out)
    assert status == (0 if answer["good"] else 1)
    assert code is None or status == code
    return answer


def written(folder: Path, raw: bytes | bytearray) -> Path:
    path = folder / "image.bin"
    path.write_bytes(raw)
    return path


def flash_of(machine: Machine) -> bytes:
    return bytes(machine.board.flash.read(0, machine.board.flash.size))


def behind_ecc(raw: bytes) -> bytes:
    return ecc.encode(raw + bytes(-len(raw) % 8))


def signed(label: str, **options: int) -> bytes:
    return (
        sign_header(CODE, imprint_keys(), SigningOptions(label=label, **options)) + CODE
    )


def provoked(rejection: Rejection) -> bytes:
    """A header of HBBL with one thing wrong."""
    name, value, variant = PROVOKED[rejection]
    options = SigningOptions(label="HBBL", security_version=1)
    good = sign_header(CODE, imprint_keys(), options)
    field = next(each for each in table(1) if each.name == name)
    return dict(variants(good, CODE, field, value))[variant]


def seeprom(**changed: bytes | None) -> bytes:
    """A boot SEEPROM with both containers; keys are section names, None is absent."""
    keys, options = imprint_keys(), SigningOptions(label="HBBL", security_version=1)
    firmware = SigningOptions(label="SBE_FW", security_version=1)
    settings = SbSettings(hw_key_hash=HW_KEY_HASH, minimum_secure_version=1)
    sections: dict[str, bytes | None] = {
        "base": BASE,
        "hbbl": CODE,
        "sbh_firmware": sign_header(patent_sbe_fw(BASE, SBV), keys, firmware),
        "sbh_hbbl": sign_header(CODE, keys, options),
        "sb_settings": settings.to_bytes(),
        "sb_verification": SBV,
    }
    merged = (sections | changed).items()
    return build_image({f".{name}": raw for name, raw in merged if raw}).to_bytes()


def check_rejected(finding: dict[str, Any], rejection: Rejection) -> None:
    assert finding["log"] == f"0xffffffffffff81{rejection:02x}"
    assert finding["refusal"] == "container-rejected"
    assert all(finding[name] for name in ("check", "found", "expected", "mend"))
    assert not finding["good"]
