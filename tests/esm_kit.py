"""Made-up operands and blobs of other programs, and how tests change them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

VECTORS: Final = Path(__file__).parent / "vectors" / "esm"
V2: Final[dict[str, Any]] = json.loads((VECTORS / "v2" / "expected.json").read_text())
BLOBS: Final[dict[str, Any]] = json.loads((VECTORS / "expected.json").read_text())[
    "blobs"
]
SEALED_DATA: Final = bytes.fromhex(V2["sealed_data"])
PAYLOAD: Final = 32 + 4 * 2048  # where the payload of good.bin begins


def operand_bytes(name: str = "good.bin") -> bytes:
    return (VECTORS / "v2" / name).read_bytes()


def blob_bytes(name: str) -> bytes:
    return (VECTORS / f"blob-{name}.dtb").read_bytes()


def with_bytes(raw: bytes, at: int, new: bytes) -> bytes:
    """The same bytes but for ``new`` at an offset."""
    return raw[:at] + new + raw[at + len(new) :]


def flipped(raw: bytes, at: int) -> bytes:
    return with_bytes(raw, at, bytes((raw[at] ^ 1,)))
