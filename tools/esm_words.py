"""What each refusal of UV_ESM says, and in which steps it is given (esm.md 2.1)."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.ultravisor.esm_refusal import EsmRefusal as R
from pefstack.images.esm_blob_refusal import BlobRefusal as B
from pefstack.images.esm_refusal import OperandRefusal as E

_AT: Final = "where it lies is no place of its own in the VM's memory"

# steps as people read them, and the meaning
SAYS: Final[dict[str, tuple[str, str]]] = {
    R.CALLER: ("1", "the caller is not a guest's kernel"),
    R.KBASE: ("2", "the kernel's address is 0"),
    R.FDT_ADDRESS: ("3", "the address of the device tree is 0"),
    R.LPID: ("4", "the logical partition is the hypervisor's"),
    R.RECORD: ("5", "the VM has a record already, or there is no memory for one"),
    R.CONTEXT: ("6", "no secure memory for a context"),
    R.DIRECTORY: ("7", "no secure memory for page directory and bitmap"),
    R.INIT_START: ("8", "the hypervisor refused H_SVM_INIT_START"),
    R.PAGE_IN: ("9 to 21", "a page is not in secure memory, or was taken back"),
    R.TREE: ("9 to 15", "the device tree is broken, or lacks a node"),
    R.TREE_SIZE: ("9", "the device tree is larger than 1 MiB"),
    R.MEMORY: ("9", "/memory@0 does not begin at 0, or has no page"),
    R.RESERVE: ("10", "no room for ten pages below 768 MiB"),
    R.SHARE: ("10, 11", "the hypervisor did not share a page"),
    R.RTAS: ("11", "no RTAS area, text or entry as it must be"),
    R.INITRD: ("12", f"no initramfs, or {_AT}"),
    R.BOOTARGS: ("13", "the tree has no command line"),
    R.NO_OPERAND: ("14", "no operand and no blob in front of the initramfs"),
    R.OPERAND_PLACE: ("14, 15", "what the tree names is no place of an operand"),
    R.TPM: ("16", "no keys from OPAL, or the TPM shows another wrapping key"),
    R.LOCKBOX: ("16", "the TPM does not open the lockbox"),
    R.KERNEL: ("18", f"the kernel has no bytes, or {_AT}"),
    R.INIT_DONE: ("19", "the hypervisor refused H_SVM_INIT_DONE"),
    R.CPU: ("20", "the boot processor is none of the VM's"),
    R.TREE_BACK: ("22", "the tree with what is reserved does not fit, or not back"),
    R.TERMINATED: ("6 to 22", "the hypervisor ended the VM during the call"),
    E.SHORT: ("15", "operand: fewer than 32 bytes"),
    E.MAGIC: ("15", "operand: another magic"),
    E.VERSION: ("15", "operand: another version"),
    E.HEADER: ("15", "operand: header size, or reserved bytes"),
    E.LIMIT: ("15", "operand: total size, number or size of slots"),
    E.SIZE: ("15", "operand: cut short"),
    E.LAYOUT: ("15", "operand: sizes that do not add up"),
    E.TRAILING: ("15", "operand: a byte behind its end"),
    E.SLOT_KIND: ("15", "slot: an unknown kind"),
    E.SLOT_FLAGS: ("15", "slot: an unknown flag"),
    E.SLOT_USED: ("15", "slot: more bytes used than it has"),
    E.SLOT_PAD: ("15", "slot: padding that is not zero"),
    E.SLOT_DUP: ("15", "two slots of one kind for one machine"),
    E.SLOT_BODY: ("15", "slot: sizes inside its body"),
    E.PAY_SHORT: ("15", "payload: fewer than 192 bytes"),
    E.PAY_MAGIC: ("15", "payload: another magic"),
    E.PAY_VERSION: ("15", "payload: another version"),
    E.PAY_HEADER: ("15", "payload: its header"),
    E.ALG: ("15", "payload: an unknown algorithm"),
    E.PAY_LIMIT: ("15", "payload: blocks, flags or a table that does not fit"),
    E.NO_SLOT: ("16", "no slot for this machine, or for any"),
    E.UNSEAL: ("16", "the TPM opens no slot: another machine, PCR6 or password"),
    E.SEED: ("16", "sealed data that is not 40 bytes, or does not end with zeros"),
    E.MAC: ("16", "HMAC of the payload: another seed, or a changed payload"),
    E.TOC_TYPE: ("17", "table: an unknown type"),
    E.TOC_FLAGS: ("17", "table: an unknown flag"),
    E.TOC_RANGE: ("17", "table: a block outside the payload"),
    E.TOC_NAME: ("17", "table: a name that is none"),
    E.TOC_PAD: ("17", "table: padding that is not zero"),
    E.INTEGRITY: ("17", "the integrity block"),
    E.MUST_UNDERSTAND: ("17", "integrity block: an unknown part that must be known"),
    E.ROLLBACK: ("17", "the image is older than the sealed minimum"),
    E.DIGEST: ("18", "a part of the VM is not the one that was measured"),
    B.TREE: ("15", "blob: no device tree"),
    B.COMPATIBLE: ("15, 17", "blob: a tree that is not compatible"),
    B.LOCKBOX_NAME: ("15", "blob: a lockbox with a unit address"),
    B.NO_LOCKBOX: ("16", "blob: no lockbox for this machine"),
    B.LOCKBOX: ("15, 16", "blob: a lockbox that is not 256 bytes"),
    B.MASTER_KEY: ("16", "blob: a master key of another size"),
    B.ITEM: ("15", "blob: an item lacks a property"),
    B.ALGORITHM: ("15", "blob: another algorithm than AES256-GCM"),
    B.IV: ("15", "blob: an IV of another size"),
    B.MAC_SIZE: ("15", "blob: a tag of another size"),
    B.CIPHERTEXT: ("15", "blob: a ciphertext that is too long"),
    B.TAG: ("17", "blob: another key, or changed bytes"),
    B.DIGEST_TREE: ("17", "blob: what was decrypted is no tree of digests"),
    B.DIGEST_VALUE: ("17", "blob: a digest of another size, or none"),
    B.KERNEL_SIZE: ("17", "blob: the kernel's size is 0"),
    B.FILES_TREE: ("15", "blob: its attachments are no device tree"),
    B.NO_FILE: ("GET_FILE", "blob: no such attachment"),
    B.FILE_NAME: ("GET_FILE", "blob: a name that no attachment has"),
    B.BOOTARGS: ("18", "the command line is not one NUL at its end"),
    B.DIGEST: ("18", "a part of the VM is not the one that was measured"),
}


def words_of(name: str) -> tuple[str, str, str] | None:
    """The name as it is written, its steps and its meaning; None for no refusal."""
    for known, (steps, says) in SAYS.items():
        if known.casefold() == name.casefold():
            return str(known), steps, says
    return None
