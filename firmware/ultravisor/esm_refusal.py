"""Why UV_ESM ends, where operand or blob are not to blame (esm.md 2.1)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pefstack.images.errors import RefusedError

NAME: Final = "UV_ESM"


class EsmRefusal(StrEnum):
    """In the order of the steps; what operand and blob are refused for comes beside."""

    CALLER = "caller"
    KBASE = "kbase"
    FDT_ADDRESS = "fdt-address"
    LPID = "lpid"
    RECORD = "record"
    CONTEXT = "context"
    DIRECTORY = "directory"
    INIT_START = "init-start"
    PAGE_IN = "page-in"
    TREE = "tree"
    TREE_SIZE = "tree-size"
    MEMORY = "memory"
    RESERVE = "reserve"
    SHARE = "share"
    RTAS = "rtas"
    INITRD = "initrd"
    BOOTARGS = "bootargs"
    NO_OPERAND = "no-operand"
    OPERAND_PLACE = "operand-place"
    TPM = "tpm"
    LOCKBOX = "lockbox"
    KERNEL = "kernel"
    INIT_DONE = "init-done"
    CPU = "cpu"
    TREE_BACK = "tree-back"
    TERMINATED = "terminated"


class EsmError(RefusedError[EsmRefusal]):
    """A step of UV_ESM that fails; offsets count as the field says."""

    FORMAT = NAME
