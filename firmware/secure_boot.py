"""What OPAL decides by: secure mode, trusted mode, key hash and log of its device tree.

In secure mode it starts nothing when it cannot verify: without a whole hash of the
hardware keys, or without the services that verify (boot-chain.md 1.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pefstack.firmware.device_tree import log_place
from pefstack.firmware.hdat import hdat_broken
from pefstack.images.fdt import Fdt, FdtNode
from pefstack.images.iplparams import HW_KEY_HASH_SIZE

NEEDED_SERVICES: Final = frozenset({"ibm,cvc-sha512", "ibm,cvc-verify"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureBoot:
    """The modes; ``log`` is None where no TPM has one."""

    secure: bool
    trusted: bool
    hw_key_hash: bytes
    log: range | None


def secure_boot_of(stage: str, tree: Fdt) -> SecureBoot:
    """Read `/ibm,secureboot`; `BootFailure` where secure mode could not verify."""
    node = tree.node("/ibm,secureboot")
    secure = node.get("secure-enabled") is not None
    if secure:
        _check_hash(stage, node)
        _check_services(stage, node)
    return SecureBoot(
        secure=secure,
        trusted=node.get("trusted-enabled") is not None,
        hw_key_hash=node.value("hw-key-hash").ljust(HW_KEY_HASH_SIZE, b"\0"),
        log=log_place(tree),
    )


def _check_hash(stage: str, node: FdtNode) -> None:
    size = len(node.value("hw-key-hash"))
    if size != HW_KEY_HASH_SIZE:
        found, right = f"found 0x{size:x}", f"expected 0x{HW_KEY_HASH_SIZE:x}"
        reason = (
            f"secure mode with a short key hash: hw-key-hash-size: {found}, {right}"
        )
        raise hdat_broken(stage, reason)


def _check_services(stage: str, node: FdtNode) -> None:
    code = node.child("ibm,cvc")
    there = {each.string("compatible") for each in code.children} if code else set()
    if missing := NEEDED_SERVICES - there:
        names = ", ".join(sorted(missing))
        found = ", ".join(sorted(there)) or "none"
        reason = f"secure mode without a service: found {found}, missing {names}"
        raise hdat_broken(stage, reason)
