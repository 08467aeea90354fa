"""Ways to make UV_ESM fail, at least one for each of its steps (esm.md 2.1).

Each is done to a VM that has just made the call; the hypervisor is the enemy, and in
the rows that need the seed its owner is careless.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from pefstack.firmware.ultravisor.codes import HCall
from pefstack.hw.chip import MSR_HV
from pefstack.images.esm_operand import HEADER_SIZE as OPERAND_HEADER
from pefstack.images.esm_operand_slot import SLOT_SIZE
from secret_kit import Watched, caller_changed
from secret_tampers import (
    answers,
    flipped_item,
    flipped_kernel,
    flipped_payload,
    flipped_sealed,
    full_from,
    gives_not,
    has_record,
    in_a_lockbox,
    in_tree,
    moved_attachment,
    no_hand_over,
    of_the_hypervisor,
    of_the_owner,
    rebuilt,
    relay_dies,
    relay_flips,
    relay_says,
    sealed_by_the_relay,
    shares_not,
    terminates,
    with_blob,
    with_tree_elsewhere,
)

ANSWER_OF_TPM: Final = bytes.fromhex("80010000000a0000012f")
Tamper = Callable[[Watched], None]


@dataclass(frozen=True)
class Row:
    """Where the call must end, by step and name, after ``tamper``."""

    step: int
    name: str
    tamper: Tamper
    machine: str = "svm"

    def __str__(self) -> str:
        return f"{self.machine}-{self.step}-{self.name}"


OTHERS_SECRET: Final = bytes.fromhex("c4d19be2770fa3586e2190bdf34a8c1d") * 2
_V1: Final = "svm-v1"
_STRICT: Final = "svm-v1-strict"
ROWS: Final = (
    Row(1, "caller", lambda w: caller_changed(w.machine, msr=MSR_HV)),
    Row(2, "kbase", lambda w: caller_changed(w.machine, kbase=0)),
    Row(3, "fdt-address", lambda w: caller_changed(w.machine, fdt_address=0)),
    Row(4, "lpid", of_the_hypervisor),
    Row(5, "record", has_record),
    Row(6, "context", partial(full_from, 6)),
    Row(7, "directory", partial(full_from, 7)),
    Row(8, "init-start", partial(answers, HCall.SVM_INIT_START, -4)),
    Row(9, "page-in", partial(gives_not, 0)),
    Row(9, "tree", partial(in_tree, b"\xd0\x0d\xfe\xed", b"\xd0\x0d\xfe\xee")),
    Row(9, "memory", partial(in_tree, b"memory@0", b"memory@1")),
    Row(10, "share", partial(shares_not, 6)),
    Row(11, "rtas", partial(in_tree, b"linux,rtas-base", b"linux,rtas-bass")),
    Row(11, "share", partial(shares_not, 7)),
    Row(12, "initrd", partial(in_tree, b"linux,initrd-end", b"linux,initrd-and")),
    Row(12, "page-in", partial(gives_not, 10)),
    Row(13, "bootargs", partial(in_tree, b"bootargs", b"bootargz")),
    Row(14, "no-operand", partial(flipped_sealed, 0)),
    Row(15, "E_VERSION", partial(flipped_sealed, 5)),
    Row(15, "E_SLOT_KIND", partial(flipped_sealed, OPERAND_HEADER + SLOT_SIZE)),
    Row(15, "E_PAY_MAGIC", flipped_payload),
    Row(16, "tpm", no_hand_over),
    Row(16, "E_NO_SLOT", partial(flipped_sealed, OPERAND_HEADER + 8)),
    *(Row(16, "E_UNSEAL", partial(relay_flips, at)) for at in (3, 4, 6, 9, 10, 12)),
    *(Row(16, "E_UNSEAL", partial(relay_dies, at)) for at in (1, 2, 7, 12)),
    Row(16, "E_UNSEAL", partial(relay_says, 12, ANSWER_OF_TPM)),
    Row(16, "E_SEED", partial(sealed_by_the_relay, OTHERS_SECRET)),
    Row(16, "E_SEED", partial(sealed_by_the_relay, (OTHERS_SECRET * 2)[:40])),
    Row(16, "E_MAC", partial(sealed_by_the_relay, OTHERS_SECRET + bytes(8))),
    Row(16, "E_MAC", partial(flipped_sealed, -1)),
    Row(16, "E_MAC", partial(flipped_sealed, -80)),
    Row(16, "E_SEED", partial(in_a_lockbox, OTHERS_SECRET)),
    Row(16, "E_SEED", partial(in_a_lockbox, (OTHERS_SECRET * 2)[:40])),
    Row(16, "E_MAC", partial(in_a_lockbox, OTHERS_SECRET + bytes(8))),
    Row(16, "terminated", partial(terminates, HCall.SVM_TPM_COMM, 12)),
    Row(16, "terminated", partial(terminates, HCall.SVM_TPM_COMM, 14)),
    Row(17, "E_ROLLBACK", partial(of_the_owner, 99)),
    Row(17, "E_TOC_TYPE", partial(rebuilt, 0, 65, b"\7")),
    Row(17, "E_TOC_NAME", partial(rebuilt, 0, 64 + 16, b"\xff")),
    Row(17, "E_INTEGRITY", partial(rebuilt, 1, 0, b"XXXX")),
    Row(18, "kernel", lambda w: caller_changed(w.machine, kbase=(64 << 20) - 16)),
    Row(18, "E_DIGEST", flipped_kernel),
    Row(18, "E_DIGEST", partial(in_tree, b"svm=on pef", b"svm=on peg")),
    Row(19, "init-done", partial(answers, HCall.SVM_INIT_DONE, -75)),
    Row(19, "terminated", partial(terminates, HCall.SVM_INIT_DONE, 1)),
    Row(20, "cpu", lambda w: caller_changed(w.machine, cpus=0)),
    Row(22, "tree-back", with_tree_elsewhere),
    Row(15, "B_TREE", partial(flipped_sealed, 8), _V1),
    Row(16, "lockbox", partial(relay_flips, 6), _V1),
    Row(16, "lockbox", partial(relay_dies, 3), _V1),
    Row(17, "B_TAG", partial(with_blob, partial(flipped_item, "mac")), _V1),
    Row(17, "B_TAG", partial(with_blob, partial(flipped_item, "ciphertext")), _V1),
    Row(
        17,
        "B_DIGEST_TREE",
        partial(with_blob, partial(moved_attachment, "customer-data")),
        _V1,
    ),
    Row(18, "B_DIGEST", flipped_kernel, _V1),
    Row(19, "init-done", partial(answers, HCall.SVM_INIT_DONE, -75), _V1),
    Row(20, "cpu", lambda w: caller_changed(w.machine, cpus=0), _V1),
    Row(16, "lockbox", partial(relay_flips, 7), _STRICT),
    Row(17, "B_TAG", partial(with_blob, partial(flipped_item, "mac")), _STRICT),
    Row(
        17,
        "B_DIGEST_TREE",
        partial(with_blob, partial(moved_attachment, "customer-data")),
        _STRICT,
    ),
    Row(18, "B_DIGEST", flipped_kernel, _STRICT),
)
