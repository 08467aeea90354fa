"""What UV_ESM asks for, done: records, pages, hypercalls, the TPM.

`esm.advance` decides and sees answers only; this is the hand that does things.
"""

from __future__ import annotations

from typing import Final

from pefstack.firmware.ultravisor.codes import (
    PAGE_SHIFT,
    PAGE_SIZE,
    TPM_EXECUTE,
    TPM_RESPONSE_SIZE,
    HCall,
)
from pefstack.firmware.ultravisor.conversation import TpmCommand
from pefstack.firmware.ultravisor.effects import (
    Allocate,
    Answer,
    Commit,
    CreateRecord,
    DrawRandom,
    Effect,
    HashGuest,
    Hypercall,
    PageIn,
    ReadGuest,
    SharePages,
    WriteGuest,
)
from pefstack.firmware.ultravisor.esm_state import EsmState
from pefstack.firmware.ultravisor.esm_tree import RTAS_BUFFERS, TPM_BUFFERS
from pefstack.firmware.ultravisor.files import ServedFiles
from pefstack.firmware.ultravisor.guest_memory import (
    hash_own,
    own_page,
    read_own,
    write_own,
)
from pefstack.firmware.ultravisor.sharing import share
from pefstack.firmware.ultravisor.svm import PageState, Svm, SvmState
from pefstack.firmware.ultravisor.ultravisor import Ultravisor

RESPONSE_OFFSET: Final = PAGE_SIZE // 2  # in the page of the TPM's buffers


def perform(uv: Ultravisor, state: EsmState, question: Effect) -> Answer:
    if isinstance(question, CreateRecord):
        return _create(uv, state.caller.lpid)
    if isinstance(question, DrawRandom):
        return uv.entropy.random_bytes(question.count)
    return _perform_for(uv, uv.svms[state.caller.lpid], state, question)


def _create(uv: Ultravisor, lpid: int) -> int:
    if lpid in uv.svms or not uv.secure.free_pages:
        return 0
    uv.svms[lpid] = Svm(lpid=lpid)
    return 1


def _perform_for(uv: Ultravisor, svm: Svm, state: EsmState, question: Effect) -> Answer:
    """What needs the record."""
    match question:
        case PageIn(gfn):
            return _page_in(uv, svm, gfn)
        case HashGuest(address, length):
            return hash_own(uv, svm, address, length)
        case ReadGuest(address, length):
            return read_own(uv, svm, address, length)
        case WriteGuest(address, data):
            return int(write_own(uv, svm, address, data))
        case TpmCommand(command):
            return _ask_tpm(uv, svm, state.reserved[TPM_BUFFERS].start, command)
        case SharePages(first, count, kind):
            return int(share(uv, svm, first, count, kind))
        case Hypercall(number):
            return uv.hypercall(svm.lpid, number)[0]
        case Allocate(pages):
            return _allocate(uv, svm, pages)
        case Commit():
            return _commit(svm, state)
    raise TypeError(f"UV_ESM asks for {question!r}")


def _page_in(uv: Ultravisor, svm: Svm, gfn: int) -> int:
    """The hypervisor answers with UV_PAGE_IN; only the page itself counts."""
    if not own_page(svm, gfn):
        asked = (gfn << PAGE_SHIFT, 0, PAGE_SHIFT)
        uv.hypercall(svm.lpid, HCall.SVM_PAGE_IN, *asked)
    return int(own_page(svm, gfn) != 0)


def _ask_tpm(uv: Ultravisor, svm: Svm, buffer: int, command: bytes) -> bytes:
    """Through the hypervisor; empty when it brings no answer."""
    gfn = buffer >> PAGE_SHIFT
    if not _is_shared(svm, gfn) or len(command) > RESPONSE_OFFSET:
        return b""
    uv.memory.write(svm.pages[gfn].normal, command)
    room = buffer + RESPONSE_OFFSET, TPM_RESPONSE_SIZE
    words = (TPM_EXECUTE, buffer, len(command), *room)
    status, *more = uv.hypercall(svm.lpid, HCall.SVM_TPM_COMM, *words)
    size = more[0] if more else 0
    if status or not 0 <= size <= TPM_RESPONSE_SIZE or not _is_shared(svm, gfn):
        return b""
    return uv.memory.read(svm.pages[gfn].normal + RESPONSE_OFFSET, size)


def _is_shared(svm: Svm, gfn: int) -> bool:
    page = svm.pages.get(gfn)
    return page is not None and page.state is PageState.SHARED_IMPLICIT


def _allocate(uv: Ultravisor, svm: Svm, pages: int) -> int:
    """All of them or none."""
    if uv.secure.free_pages < pages:
        return 0
    svm.own.extend(uv.secure.allocate() for _ in range(pages))
    return 1


def _commit(svm: Svm, state: EsmState) -> int:
    if svm.lost:
        return 0
    svm.state = SvmState.SECURE
    svm.rtas_buffer = state.reserved[RTAS_BUFFERS].start
    svm.files = _served(state)
    return 1


def _served(state: EsmState) -> ServedFiles:
    """What the guest may read from now on, from the copies that were checked."""
    profile = state.caller.profile
    if state.payload is not None:
        secrets = {each.name: each.content for each in state.payload.secrets}
        return ServedFiles(profile=profile, secrets=secrets)
    files = state.blob.files_fdt if state.blob else None
    return ServedFiles(profile=profile, files_fdt=files or b"", master_key=state.secret)
