"""What to do about a UV_ESM that was refused; every name has its words."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.ultravisor.esm_refusal import EsmRefusal
from pefstack.images.esm_blob_refusal import BlobRefusal
from pefstack.images.esm_refusal import OperandRefusal

_BUILD_AGAIN: Final = "build the operand again (`pef esm build`), or take it back"
_BLOB_AGAIN: Final = "make the blob again (`pef esm make`), or take it back"
_SEAL_AGAIN: Final = (
    "seal for this machine as it is now: `pef esm add` with its storage key, its index "
    "and its PCR6"
)
_CALL: Final = "call UV_ESM from a guest's kernel, once, with kbase and device tree"
_MEMORY: Final = "give machine.pef.secure-memory more room, or the VM less memory"
_HYPERVISOR: Final = "look at what the hypervisor did: it must answer as KVM does"
_TREE: Final = "look at the guest's device tree: its loader has to make it as in docs"

WORDS: Final[dict[EsmRefusal, str]] = {
    EsmRefusal.CALLER: _CALL,
    EsmRefusal.KBASE: _CALL,
    EsmRefusal.FDT_ADDRESS: _CALL,
    EsmRefusal.LPID: _CALL,
    EsmRefusal.RECORD: _CALL,
    EsmRefusal.CONTEXT: _MEMORY,
    EsmRefusal.DIRECTORY: _MEMORY,
    EsmRefusal.INIT_START: _HYPERVISOR,
    EsmRefusal.PAGE_IN: f"{_HYPERVISOR}; or {_MEMORY}",
    EsmRefusal.TREE: _TREE,
    EsmRefusal.TREE_SIZE: _TREE,
    EsmRefusal.MEMORY: _TREE,
    EsmRefusal.RESERVE: "leave ten pages of 64 KiB free below 768 MiB",
    EsmRefusal.SHARE: _HYPERVISOR,
    EsmRefusal.RTAS: _TREE,
    EsmRefusal.INITRD: "give the VM an initramfs (--initrd), inside its memory",
    EsmRefusal.BOOTARGS: "give the VM a command line (--append)",
    EsmRefusal.NO_OPERAND: (
        "put an operand or blob in front of the initramfs: `pef esm build`, "
        "`pef esm make`"
    ),
    EsmRefusal.OPERAND_PLACE: "look at linux,esm-blob-start and -end in the tree",
    EsmRefusal.TPM: (
        "prepare the TPM: machine.pef.provision = strict, and a TPM that works"
    ),
    EsmRefusal.LOCKBOX: (
        "authorize the blob for this machine's wrapping key: `pef esm authorize`"
    ),
    EsmRefusal.KERNEL: "the kernel must lie in the VM's memory, clear of other things",
    EsmRefusal.INIT_DONE: _HYPERVISOR,
    EsmRefusal.CPU: "boot_cpuid_phys in the tree must be a processor of the VM",
    EsmRefusal.TREE_BACK: "leave room behind the device tree, up to its page's end",
    EsmRefusal.TERMINATED: _HYPERVISOR,
}
_OPERANDS: Final = {
    OperandRefusal.NO_SLOT: _SEAL_AGAIN,
    OperandRefusal.UNSEAL: _SEAL_AGAIN,
    OperandRefusal.SEED: _SEAL_AGAIN,
    OperandRefusal.ROLLBACK: (
        "the image is older than its owner allows: build it with a higher "
        "--security-version, or seal with a lower minimum"
    ),
    OperandRefusal.DIGEST: (
        "boot the kernel, initramfs, command line and RTAS text that were measured, "
        "or build the operand for these"
    ),
}
_BLOBS: Final = {
    BlobRefusal.NO_LOCKBOX: WORDS[EsmRefusal.LOCKBOX],
    BlobRefusal.LOCKBOX_NAME: WORDS[EsmRefusal.LOCKBOX],
    BlobRefusal.BOOTARGS: WORDS[EsmRefusal.BOOTARGS],
    BlobRefusal.DIGEST: (
        "boot the kernel, initramfs, command line and RTAS text that were measured, "
        "or make the blob for these"
    ),
}


_BY_NAME: Final[dict[str, str]] = {
    **{str(name): _BUILD_AGAIN for name in OperandRefusal},
    **{str(name): _BLOB_AGAIN for name in BlobRefusal},
    **{str(name): words for name, words in WORDS.items()},
    **{str(name): words for name, words in _OPERANDS.items()},
    **{str(name): words for name, words in _BLOBS.items()},
}


def mend(name: str) -> str:
    """What to do about a refusal of this name; KeyError for no name."""
    return _BY_NAME[name]
