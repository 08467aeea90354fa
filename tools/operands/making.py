"""An operand from a guest and its secrets, and an image with the operand in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError
from pefstack.images.esm_integrity import TYPE_WORDS, IntegrityBlock, Measured
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.esm_operand_build import build_operand, build_payload
from pefstack.images.esm_operand_open import Secret
from pefstack.images.esm_operand_slot import MAX_SLOT_COUNT, Slot
from pefstack.images.esm_operand_toc import MAX_BLOCK_SIZE
from pefstack.images.initramfs import blob_archive, find_blob
from pefstack.images.kdfa import kdfa
from pefstack.images.zimage import ESM_BLOB, Zimage
from pefstack.tools.errors import UsageError, asked_for
from pefstack.tools.guest_parts import GuestParts

FILE_NAME: Final = "operand"
DEFAULT_SLOTS: Final = 8


def make_operand(
    guest: GuestParts,
    *,
    seed: bytes,
    build_nonce: bytes,
    svm_id: bytes | None = None,
    security_version: int = 0,
    secrets: Sequence[Secret] = (),
    slots: Iterable[Slot] = (),
    slot_count: int = DEFAULT_SLOTS,
    clear_integrity: bool = False,
) -> bytes:
    """The bytes of an operand for this guest; the same for the same arguments.

    A passphrase is the first of ``secrets``. ``slots`` come first, then placeholders up
    to ``slot_count``. ``build_nonce``, 16 bytes, must be new with every build: two
    operands under one nonce show how they differ. Raises `UsageError` for a part of the
    guest that is missing, for secrets and slots that are too many or too large, and
    for names and their order.
    """
    measured, slots = guest.measured(), tuple(slots)
    _check_complete(guest, measured)
    _check_sizes(secrets)
    _check_slots(len(slots), slot_count)
    payload = asked_for(
        lambda: build_payload(
            seed,
            IntegrityBlock(security_version=security_version, parts=measured),
            secrets,
            svm_id=default_svm_id(seed) if svm_id is None else svm_id,
            build_nonce=build_nonce,
            clear_integrity=clear_integrity,
        )
    )
    return build_operand(payload, slots, slot_count=slot_count).to_bytes()


def default_svm_id(seed: bytes) -> bytes:
    """16 bytes that are the same in all builds under one seed, and do not show it."""
    return kdfa(hashlib.sha256, seed, b"ESM-ID", b"", b"", 128)


def operand_in_front(
    initramfs: Buffer, operand: Buffer, file_name: str = FILE_NAME
) -> bytes:
    """An initramfs that brings its operand along, in an archive in front of it.

    Raises `UsageError` when it has a blob or an operand already, `FormatError` for a
    name that the ultravisor would not take.
    """
    check_bare(initramfs)
    EsmOperand.from_bytes(operand)
    return blob_archive(file_name, operand) + bytes(initramfs)


def operand_in_zimage(zimage: Buffer, operand: Buffer) -> bytes:
    """A zImage with the operand in its section, zero bytes behind it.

    The boot wrapper is linked with that section, so it must be there and have room;
    what it held is gone. Raises `UsageError` when it is not so.
    """
    EsmOperand.from_bytes(operand)
    parsed = Zimage.from_bytes(zimage)
    section = parsed.elf.named(ESM_BLOB)
    if parsed.esm_blob is None or section is None:
        raise UsageError(
            f"zImage: no section {ESM_BLOB} that is used; link it with one"
        )
    place, room = section.sh_offset, section.sh_size
    if len(operand) > room:
        found = f"0x{len(operand):x} bytes, room for 0x{room:x}"
        raise UsageError(f"zImage: {ESM_BLOB}: {found}; link it with more room")
    changed = bytearray(zimage)
    changed[place : place + room] = bytes(operand).ljust(room, b"\0")
    return bytes(changed)


def check_bare(initramfs: Buffer) -> None:
    """Refuse an initramfs that begins with the archive of a blob or an operand."""
    try:
        size = find_blob(initramfs).archive_size
    except FormatError:
        return
    mend = f"take it off: tail -c +{size + 1}" if size else "it has no trailer"
    raise UsageError(f"initramfs: has an ESM blob or operand already; {mend}")


def _check_complete(guest: GuestParts, measured: Mapping[int, Measured]) -> None:
    missing = [word for kind, word in TYPE_WORDS.items() if kind not in measured]
    if missing:
        raise UsageError(
            f"guest: no {', '.join(missing)}; an operand measures all four"
        )
    if b"\0" in (guest.command_line or b""):
        raise UsageError("command line: a NUL in it; the one behind it is not measured")


def _check_sizes(secrets: Sequence[Secret]) -> None:
    for each in secrets:
        if len(each.content) > MAX_BLOCK_SIZE:
            found, limit = len(each.content), MAX_BLOCK_SIZE
            text = f"found 0x{found:x} bytes, expected at most 0x{limit:x}"
            raise UsageError(f"secret {each.name}: {text}")


def _check_slots(used: int, slot_count: int) -> None:
    if not max(1, used) <= slot_count <= MAX_SLOT_COUNT:
        limit = f"{max(1, used)} to {MAX_SLOT_COUNT}"
        raise UsageError(f"slots: found {slot_count}, expected {limit}")
