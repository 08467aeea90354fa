"""Every way in which UV_ESM can end without a secure VM: step, reason, and how."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from esm_case_kit import (
    MSR,
    Case,
    case,
    changed_blob,
    digests,
    full,
    having,
    large_tree,
    liar,
    listening,
    lpid_0,
    no_tree,
    nobody,
    operand,
    other_tree,
    raw_operand,
    refusing,
    terminating,
    tight,
    twice,
    unregistering,
    v1,
)
from esm_kit import SEALED_DATA, blob_bytes, operand_bytes
from pefstack.firmware.ultravisor.codes import HCall
from pefstack.hw.chip import MSR_HV
from pefstack.hw.cpu import MSR_PR
from pefstack.images.fdt import Fdt
from uv_guest_kit import (
    INITRD_AT,
    KBASE,
    LINE,
    MEMORY,
    OPERAND_AT,
    PAGE,
    RTAS_AT,
    TREE_AT,
    Guest,
    archive,
    cell,
    ours,
    vector,
)

_DIGESTS: Final = Fdt.from_bytes(vector("plain/digests-a.dtb")).root
_OTHER_ROOT: Final = Fdt(root=replace(_DIGESTS, properties=())).to_bytes()
_B: Final = "esmb-initrd-b.img"

CASES: Final[tuple[Case, ...]] = (
    # 1 to 4: the call itself
    Case(1, "caller", "user", msr=MSR | MSR_PR, r3=-11),
    Case(1, "caller", "hypervisor", msr=MSR | MSR_HV, r3=-11),
    Case(2, "kbase", kbase=0, r3=-55),
    Case(3, "fdt-address", tree=0, r3=-56),
    Case(4, "lpid", meanwhile=lpid_0, r3=-11),
    # 5 to 7: secure memory
    Case(5, "record", meanwhile=full(0), r3=-5),
    Case(6, "context", at=6, meanwhile=full(0), r3=-5),
    Case(7, "directory", meanwhile=full(2), r3=-5),
    Case(
        7,
        "directory",
        "real",
        profile="real",
        meanwhile=full(2),
        r3=0xF110,
    ),
    # 8: the hypervisor begins
    Case(8, "init-start", instead=liar(HCall.SVM_INIT_START, -75)),
    Case(8, "init-start", "full", meanwhile=full(3)),
    # 9: the tree
    Case(9, "page-in", "refused", instead=refusing(HCall.SVM_PAGE_IN, -4)),
    Case(9, "page-in", "silent", instead=refusing(HCall.SVM_PAGE_IN, 0)),
    Case(9, "page-in", "full", at=9, meanwhile=full(0)),
    Case(9, "page-in", "outside", tree=MEMORY),
    Case(9, "page-in", "wraps", tree=(1 << 64) - 16),
    Case(9, "tree", "magic", meanwhile=no_tree),
    Case(9, "tree", "structure", meanwhile=other_tree(off_dt_struct=0x40)),
    Case(9, "tree", "version", meanwhile=other_tree(version=15)),
    Case(9, "tree", "a node twice", meanwhile=twice),
    Case(9, "tree-size", meanwhile=large_tree),
    Case(9, "memory", "none", guest=having(without=("memory@0",))),
    Case(
        9,
        "memory",
        "base",
        guest=having(reg=cell(PAGE, 8) + cell(MEMORY, 8)),
    ),
    Case(
        9,
        "memory",
        "small",
        guest=having(reg=bytes(8) + cell(PAGE - 1, 8)),
    ),
    Case(9, "memory", "cells", guest=having(reg=cell(0) + cell(MEMORY))),
    # 10: room, and what is shared in it
    Case(10, "reserve", guest=having(reserve=((0, MEMORY),))),
    Case(
        10,
        "reserve",
        "small",
        guest=having(reg=bytes(8) + cell(8 * PAGE, 8)),
    ),
    Case(10, "share", instead=refusing(HCall.SVM_PAGE_IN, -4, shared=1)),
    Case(
        10,
        "share",
        "silent",
        instead=refusing(HCall.SVM_PAGE_IN, 0, shared=1),
    ),
    Case(
        10,
        "share",
        "no slot",
        guest=having(reg=bytes(8) + cell(2 * MEMORY, 8)),
    ),
    # 11: RTAS
    Case(11, "rtas", "none", guest=having(without=("rtas",))),
    Case(
        11,
        "rtas",
        "no base",
        guest=having(without=("linux,rtas-base",)),
    ),
    Case(11, "rtas", "no size", guest=having(without=("rtas-size",))),
    Case(11, "rtas", "entry", guest=having(rtas_entry=cell(RTAS_AT + 8))),
    Case(11, "rtas", "entry elsewhere", guest=having(rtas_entry=cell(KBASE))),
    Case(11, "rtas", "entry of 5", guest=having(rtas_entry=bytes(5))),
    Case(11, "rtas", "no text", guest=having(rtas_text=0)),
    Case(11, "rtas", "text", guest=having(rtas_text=0x1001)),
    Case(
        11,
        "rtas",
        "large",
        guest=having(rtas_size=0x100001, rtas_at=0x400000),
    ),
    Case(
        11,
        "rtas",
        "outside",
        guest=having(rtas_at=MEMORY - 0x800, rtas=b""),
    ),
    Case(
        11,
        "rtas",
        "tree",
        guest=having(rtas_at=TREE_AT + 0x8000, rtas=b""),
    ),
    Case(11, "rtas", "reserved", guest=having(rtas_at=0x7F0000, rtas=b"")),
    Case(11, "page-in", instead=refusing(HCall.SVM_PAGE_IN, -4, RTAS_AT, 0)),
    Case(11, "share", instead=refusing(HCall.SVM_PAGE_IN, -4, RTAS_AT, 1)),
    # 12, 13: initramfs, command line
    Case(12, "initrd", "none", guest=having(initrd=None)),
    Case(12, "initrd", "empty", guest=having(initrd=b"")),
    Case(
        12,
        "initrd",
        "outside",
        guest=having(
            initrd_at=MEMORY - 16,
            initrd=bytes(16),
            cells=8,
            reg=bytes(8) + cell(MEMORY - 8 * PAGE, 8),
        ),
    ),
    Case(12, "initrd", "rtas", guest=having(initrd_at=0x608000)),
    Case(12, "initrd", "tree", guest=having(initrd_at=TREE_AT + 0x8000)),
    Case(12, "initrd", "reserved", guest=having(initrd_at=0x7F0000)),
    Case(12, "initrd", "no chosen", guest=having(without=("chosen",))),
    Case(12, "page-in", instead=refusing(HCall.SVM_PAGE_IN, -4, INITRD_AT, 0)),
    Case(13, "bootargs", guest=having(bootargs=None)),
    # 14, 15: where blob or operand is
    Case(14, "no-operand", guest=Guest),
    Case(14, "no-operand", "real", guest=Guest, profile="real"),
    Case(14, "operand-place", "empty", guest=lambda: Guest(operand=b"")),
    Case(
        14,
        "operand-place",
        "small",
        guest=lambda: Guest(operand=b"ESM"),
    ),
    Case(
        14,
        "operand-place",
        "outside",
        guest=lambda: Guest(
            operand=b"ESMO",
            operand_at=MEMORY - 2 * PAGE,
            reg=bytes(8) + cell(MEMORY - 8 * PAGE, 8),
        ),
    ),
    Case(14, "operand-place", "rtas", guest=having(operand_at=0x604000)),
    Case(14, "page-in", instead=refusing(HCall.SVM_PAGE_IN, -4, OPERAND_AT, 0)),
    Case(
        14,
        "page-in",
        "taken back",
        at=14,
        meanwhile=unregistering,
        guest=lambda: Guest(
            initrd=archive(ours(operand_bytes())) + vector("in/initrd-a.cpio")
        ),
    ),
    Case(15, "page-in", at=15, meanwhile=unregistering),
    Case(
        15,
        "operand-place",
        guest=lambda: Guest(operand=b"ESMX" + operand_bytes()[4:]),
    ),
    Case(15, "B_TREE", guest=lambda: Guest(operand=blob_bytes("a")[:-1])),
    Case(15, "B_COMPATIBLE", guest=case("compat-none")),
    Case(15, "B_LOCKBOX_NAME", guest=case("lockbox1-unit")),
    Case(15, "B_ITEM", guest=case("algo-missing")),
    Case(15, "B_ALGORITHM", guest=case("algo-other")),
    Case(15, "B_IV", guest=case("iv64")),
    Case(15, "B_MAC_SIZE", guest=case("mac12")),
    Case(15, "B_MAC_SIZE", "real", profile="real", guest=case("mac3")),
    Case(15, "B_CIPHERTEXT", guest=case("dig-65536")),
    Case(
        15,
        "B_FILES_TREE",
        guest=changed_blob("file", **{"files-fdt": b"no tree"}),
    ),
    # 16: the TPM
    Case(16, "tpm", "none", meanwhile=nobody),
    Case(
        16,
        "tpm",
        "none v1",
        meanwhile=nobody,
        guest=v1("esmb-initrd-a.img"),
    ),
    Case(
        16,
        "tpm",
        "other key",
        meanwhile=listening,
        key="tpm1",
        guest=v1("esmb-initrd-a.img"),
    ),
    Case(16, "lockbox", key="tpm2", guest=v1("esmb-initrd-a.img")),
    Case(16, "lockbox", "real", profile="real", key="tpm2", guest=v1(_B)),
    Case(16, "B_NO_LOCKBOX", key="tpm1", guest=case("no-lockbox")),
    Case(
        16,
        "B_LOCKBOX",
        key="tpm1",
        guest=changed_blob(
            "lockboxes", "lockbox-1", **{"encrypted-symkey": bytes(255)}
        ),
    ),
    Case(16, "B_MASTER_KEY", key="tpm1", guest=case("key16")),
    Case(16, "E_NO_SLOT", guest=raw_operand("placeholder.bin")),
    Case(16, "E_UNSEAL", guest=raw_operand("good.bin")),
    Case(16, "E_SEED", guest=operand("good.bin", SEALED_DATA[:-1])),
    Case(
        16,
        "E_SEED",
        "reserved",
        guest=operand("good.bin", SEALED_DATA[:-1] + b"\1"),
    ),
    Case(
        16,
        "E_MAC",
        "seed",
        guest=operand("good.bin", b"\0" + SEALED_DATA[1:]),
    ),
    # 17: what they open
    Case(17, "B_TAG", key="tpm1", guest=case("ct-flip")),
    Case(17, "B_DIGEST_TREE", key="tpm1", guest=case("dig-garbage")),
    Case(17, "B_COMPATIBLE", key="tpm1", guest=digests(_OTHER_ROOT)),
    Case(17, "B_DIGEST_VALUE", key="tpm1", guest=case("dig-no-rtas")),
    Case(17, "B_KERNEL_SIZE", key="tpm1", guest=case("dig-ksize0")),
    Case(
        17,
        "E_ROLLBACK",
        "floor",
        guest=operand("good.bin", SEALED_DATA[:32] + cell(4) + cell(0)),
    ),
    # 18: the guest is not the one
    Case(18, "kernel", key="tpm1", guest=case("dig-ksize-huge")),
    Case(18, "kernel", "outside", kbase=MEMORY),
    Case(18, "kernel", "tree", kbase=TREE_AT + 0x8000),
    Case(18, "page-in", instead=refusing(HCall.SVM_PAGE_IN, -4, KBASE, 0)),
    Case(18, "page-in", "taken back", at=18, meanwhile=unregistering),
    Case(
        18,
        "B_BOOTARGS",
        key="tpm1",
        guest=lambda: Guest(initrd=vector("esmb-initrd-a.img"), bootargs=LINE[:-1]),
    ),
    Case(18, "B_BOOTARGS", "v2", guest=having(bootargs=LINE + b"\0")),
    Case(
        18,
        "B_DIGEST",
        key="tpm1",
        guest=lambda: Guest(
            initrd=vector("esmb-initrd-a.img"),
            kernel=vector("cases/kernel-flip.kernel"),
        ),
    ),
    Case(18, "E_DIGEST", guest=having(bootargs=b"init=/bin/sh svm=2\0")),
    # 19 to 22: the end
    Case(19, "init-done", instead=refusing(HCall.SVM_INIT_DONE, -75)),
    Case(20, "cpu", guest=having(boot_cpu=1), r3=-75, back=False),
    Case(
        21,
        "page-in",
        "taken back",
        at=21,
        meanwhile=unregistering,
        r3=-75,
        back=False,
    ),
    Case(22, "tree-back", guest=tight, r3=None, back=False),
    Case(
        22,
        "tree-back",
        "taken back",
        at=22,
        meanwhile=unregistering,
        r3=None,
        back=False,
    ),
)

# another processor of the hypervisor ends the VM before the first question of a step
TERMINATED: Final = tuple(
    Case(
        step,
        "terminated",
        at=step,
        meanwhile=terminating,
        r3=-67 if step < 9 else -4 if step < 21 else -75,
        back=step < 21,
    )
    for step in (6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 18, 19, 21, 22)
)
