"""The seed of an SVM in a file, for its owner alone."""

from __future__ import annotations

import secrets
from pathlib import Path

from pefstack.images.esm_operand_keys import SEED_SIZE
from pefstack.tools.errors import UsageError
from pefstack.tools.files import read_bytes


def read_seed(path: Path) -> bytes:
    """32 bytes, exactly; `UsageError` for another size, or when it can't be read."""
    seed = read_bytes(path)
    if len(seed) != SEED_SIZE:
        text = f"found 0x{len(seed):x} bytes, expected 0x{SEED_SIZE:x}"
        raise UsageError(f"{path}: seed: {text}")
    return seed


def new_seed(path: Path) -> bytes:
    """A seed that is to be written there; `UsageError` when a file is there already."""
    if path.exists():
        raise UsageError(f"{path}: is there already; a seed is not written over")
    return secrets.token_bytes(SEED_SIZE)
