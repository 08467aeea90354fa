"""ContextSave, ContextLoad, FlushContext, EvictControl."""

import hashlib
from functools import partial

import pytest

from pefstack.hw.tpm import saved_contexts
from pefstack.hw.tpm.engine import Tpm
from pefstack.hw.tpm.objects import Sequence
from tpm_client_kit import POLICY, start
from tpm_kit import (
    NULL,
    SHUTDOWN_STATE,
    STARTUP_CLEAR,
    STARTUP_STATE,
    off_tpm,
    power_cycle,
    rc_of,
    session,
    started,
)
from tpm_objects import (
    ENDORSEMENT,
    FIXED,
    NO_DA,
    OWNER,
    PLATFORM,
    ST_CLEAR,
    STORAGE,
    USER,
    Answer,
    AnyTpm,
    create_primary,
    flush,
    keyed_hash,
    load_external,
    loaded_at,
    made,
    persist,
    refused,
    rsa,
    send,
)


def save(tpm: AnyTpm, handle: int) -> bytes:
    """ContextSave: the TPMS_CONTEXT."""
    answer = send(tpm, 0x162, b"", handle, auths=0)
    assert answer.rc == 0, hex(answer.rc)
    return answer.parameters


def restore(tpm: AnyTpm, context: bytes) -> Answer:
    """ContextLoad."""
    return send(tpm, 0x161, context, auths=0, gives_handle=True)


def changed(context: bytes, place: int) -> bytes:
    raw = bytearray(context)
    raw[place] ^= 1
    return bytes(raw)


@pytest.mark.parametrize("attributes", [FIXED, FIXED | ST_CLEAR])
def test_an_object_comes_back_any_number_of_times(attributes: int) -> None:
    tpm, _, _ = started()
    parent = create_primary(tpm).handle
    sealed = made(tpm, parent, keyed_hash(attributes | USER | NO_DA), data=b"secret")
    context = save(tpm, sealed)
    before = loaded_at(tpm, sealed)
    assert b"secret" not in context
    kind = 2 if attributes & ST_CLEAR else 0
    assert context[8:16] == (0x80000000 + kind).to_bytes(4, "big") + b"\x40\0\0\x01"
    assert flush(tpm, sealed) == 0
    for _ in range(2):
        handle = restore(tpm, context).handle
        assert loaded_at(tpm, handle) == before
        assert send(tpm, 0x15E, b"", handle).sized(1)[0] == b"secret"


def test_external_objects_come_back() -> None:
    tpm, _, _ = started()
    public = create_primary(tpm).sized(1)[0]
    handle = load_external(tpm, public, hierarchy=OWNER).handle
    context = save(tpm, handle)
    assert loaded_at(tpm, restore(tpm, context).handle) == loaded_at(tpm, handle)


@pytest.mark.parametrize("place", [0, 7, 11, 15, 18, 60, 81, 82, 120, -1])
def test_every_byte_of_a_context_counts(place: int) -> None:
    tpm, _, _ = started()
    context = save(tpm, create_primary(tpm).handle)
    rc = refused(tpm, partial(restore, tpm, changed(context, place)))
    assert rc == (0x1C4 if place == 15 else 0x1DF)


def test_a_context_is_not_of_another_hierarchy() -> None:
    tpm, _, _ = started()
    context = save(tpm, create_primary(tpm).handle)
    for hierarchy in (PLATFORM, ENDORSEMENT, NULL):
        other = context[:12] + hierarchy.to_bytes(4, "big") + context[16:]
        assert refused(tpm, partial(restore, tpm, other)) == 0x1DF


def test_two_contexts_of_one_object_have_nothing_in_common() -> None:
    tpm, _, _ = started()
    handle = create_primary(tpm).handle
    first, second = save(tpm, handle), save(tpm, handle)
    assert first[7] + 1 == second[7]
    same = sum(a == b for a, b in zip(first[18:], second[18:], strict=True))
    assert same < len(first) // 20


def cycle(tpm: Tpm, first: bytes | None, then: bytes) -> None:
    """Shutdown or none, power off and on, Startup."""
    if first is not None:
        assert rc_of(tpm.execute(first)) == 0
    power_cycle(tpm)
    assert rc_of(tpm.execute(then)) == 0


@pytest.mark.parametrize(
    ("attributes", "shutdown", "startup", "rc"),
    [
        (FIXED, None, STARTUP_CLEAR, 0x1DF),
        (FIXED, SHUTDOWN_STATE, STARTUP_CLEAR, 0),
        (FIXED, SHUTDOWN_STATE, STARTUP_STATE, 0),
        (FIXED | ST_CLEAR, SHUTDOWN_STATE, STARTUP_STATE, 0),
        (FIXED | ST_CLEAR, SHUTDOWN_STATE, STARTUP_CLEAR, 0x1DF),
    ],
)
def test_what_outlives_a_start(
    attributes: int, shutdown: bytes | None, startup: bytes, rc: int
) -> None:
    """TPM Reset ends every context, Restart those of stClear objects."""
    tpm, _, _ = started()
    context = save(tpm, create_primary(tpm, rsa(STORAGE | attributes)).handle)
    cycle(tpm, shutdown, startup)
    assert restore(tpm, context).rc == rc


@pytest.mark.parametrize(
    ("hierarchy", "code", "ended"),
    [
        (OWNER, 0x126, True),
        (ENDORSEMENT, 0x126, True),
        (PLATFORM, 0x126, False),
        (PLATFORM, 0x125, True),
        (OWNER, 0x125, False),
        (ENDORSEMENT, 0x124, True),
        (OWNER, 0x124, False),
    ],
)
def test_contexts_end_with_the_seed_of_their_hierarchy(
    hierarchy: int, code: int, ended: bool
) -> None:
    """Clear, ChangePPS, ChangeEPS."""
    tpm, _, _ = started()
    context = save(tpm, create_primary(tpm, hierarchy=hierarchy).handle)
    assert send(tpm, code, b"", PLATFORM).rc == 0
    assert restore(tpm, context).rc == (0x1DF if ended else 0)


def test_a_closed_hierarchy_loads_nothing() -> None:
    tpm, _, _ = started()
    context = save(tpm, create_primary(tpm).handle)
    assert send(tpm, 0x121, OWNER.to_bytes(4, "big") + b"\0", OWNER).rc == 0
    assert refused(tpm, partial(restore, tpm, context)) == 0x1C5


def test_a_session_comes_back_once() -> None:
    tpm, _, _ = started()
    handle = start(tpm, POLICY).handle
    context = save(tpm, handle)
    assert send(tpm, 0x162, b"", handle, auths=0).rc == 0x910
    assert restore(tpm, context).handle == handle
    assert refused(tpm, partial(restore, tpm, context)) == 0x1CB
    newer = save(tpm, handle)
    assert refused(tpm, partial(restore, tpm, context)) == 0x1CB
    for place in (7, 18, -1):
        assert refused(tpm, partial(restore, tpm, changed(newer, place))) == 0x1DF
    assert refused(tpm, partial(restore, tpm, newer[:17] + b"\x41" + newer[18:] + b"x"))
    assert restore(tpm, newer).rc == 0


def test_a_saved_session_can_be_flushed() -> None:
    tpm, _, _ = started()
    handle = start(tpm, POLICY).handle
    context = save(tpm, handle)
    assert flush(tpm, handle + 1) == 0x1CB
    assert flush(tpm, handle - 0x01000000) == 0  # its number counts, as on swtpm
    assert flush(tpm, handle) == 0x1CB
    assert restore(tpm, context).rc == 0x1CB


def test_a_sequence_goes_on_from_where_it_was_saved() -> None:
    tpm, _, _ = started()
    running = hashlib.sha256(b"one ")
    sequence = Sequence(auth_value=b"", hashes={0xB: running}, kind="hash")
    handle = tpm._inner.state.objects.load(sequence)
    context = save(tpm, handle)
    assert context[8:16] == bytes.fromhex("80000001 40000007")
    running.update(b"lost")
    for _ in range(2):
        again = tpm._inner.state.objects.transient[restore(tpm, context).handle]
        assert isinstance(again, Sequence)
        again.hashes[0xB].update(b"two")
        assert again.hashes[0xB].digest() == hashlib.sha256(b"one two").digest()
    cycle(tpm, None, STARTUP_CLEAR)
    assert restore(tpm, context).rc == 0x1DF


def test_the_oldest_of_many_saved_sequences_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(saved_contexts, "MAX_SAVED_SEQUENCES", 3)
    tpm, _, _ = started()
    sequence = Sequence(auth_value=b"", hashes={}, kind="hash")
    handle = tpm._inner.state.objects.load(sequence)
    contexts = [save(tpm, handle) for _ in range(4)]
    assert len(tpm._inner.state.saved_sequences) == 3
    flush(tpm, handle)
    assert refused(tpm, partial(restore, tpm, contexts[0])) == 0x1CB
    assert restore(tpm, contexts[1]).rc == 0


def test_a_full_tpm_loads_no_context() -> None:
    tpm, _, _ = started()
    context = save(tpm, create_primary(tpm).handle)
    assert [create_primary(tpm).rc for _ in range(2)] == [0, 0]
    assert refused(tpm, partial(restore, tpm, context)) == 0x902


@pytest.mark.parametrize(
    ("handle", "rc"),
    [
        (0x80000000, 0x1CB),
        (0x80000003, 0x1C4),
        (0x02000000, 0x1CB),
        (0x03000000, 0x1CB),
        (0x02000040, 0x1C4),
        (0x81000000, 0x1C4),
        (OWNER, 0x1C4),
    ],
)
def test_nothing_to_flush(handle: int, rc: int) -> None:
    tpm, _, _ = started()
    params = handle.to_bytes(4, "big")
    assert refused(tpm, partial(send, tpm, 0x165, params, auths=0)) == rc


def test_context_commands_take_no_sessions() -> None:
    tpm, _, _ = started()
    handle = create_primary(tpm).handle
    assert send(tpm, 0x162, b"", handle).rc == 0x145
    assert send(tpm, 0x165, handle.to_bytes(4, "big")).rc == 0x145


def test_a_persistent_object_outlives_power() -> None:
    tpm, journal, _ = started()
    key = create_primary(tpm)
    public = key.sized(1)[0]
    assert persist(tpm, key.handle, 0x81000001) == 0
    cycle(tpm, None, STARTUP_CLEAR)
    answer = send(tpm, 0x173, b"", 0x81000001, auths=0)
    assert answer.sized(1)[0] == public
    assert persist(tpm, 0x81000001, 0x81000001) == 0
    assert send(tpm, 0x173, b"", 0x81000001, auths=0).rc == 0x18B
    assert [e.kind for e in journal if "persist" in e.kind or "evict" in e.kind] == [
        "persist",
        "evict",
    ]


@pytest.mark.parametrize(
    ("hierarchy", "auth", "handle", "rc"),
    [
        (OWNER, OWNER, 0x81000000, 0),
        (ENDORSEMENT, OWNER, 0x817FFFFF, 0),
        (PLATFORM, PLATFORM, 0x81800000, 0),
        (PLATFORM, OWNER, 0x81000000, 0x285),
        (OWNER, PLATFORM, 0x81800000, 0x285),
        (OWNER, OWNER, 0x81800000, 0x1CD),
        (PLATFORM, PLATFORM, 0x81000000, 0x1CD),
        (NULL, OWNER, 0x81000000, 0x282),
        (OWNER, OWNER, 0x80000000, 0x1C4),
        (OWNER, ENDORSEMENT, 0x81000000, 0x184),
    ],
)
def test_who_makes_what_persistent(
    hierarchy: int, auth: int, handle: int, rc: int
) -> None:
    tpm, _, _ = started()
    key = create_primary(tpm, hierarchy=hierarchy).handle
    assert persist(tpm, key, handle, auth) == rc


def test_objects_that_cannot_be_made_persistent() -> None:
    tpm, _, _ = started()
    public = create_primary(tpm).sized(1)[0]
    alone = load_external(tpm, public, hierarchy=OWNER).handle
    assert persist(tpm, alone, 0x81000000) == 0x282
    flush(tpm, alone)
    short_lived = create_primary(tpm, rsa(STORAGE | FIXED | ST_CLEAR)).handle
    assert persist(tpm, short_lived, 0x81000000) == 0x282


def test_persistent_handles_are_used_once() -> None:
    tpm, _, _ = started()
    key = create_primary(tpm).handle
    assert persist(tpm, key, 0x81000000) == 0
    assert persist(tpm, key, 0x81000000) == 0x14C
    assert persist(tpm, 0x81000000, 0x81000001) == 0x28B
    kept = tpm._inner.state.objects.persistent
    for number in range(64):
        kept[0x81100000 + number] = kept[0x81000000]
    assert persist(tpm, key, 0x81000002) == 0x14B


def test_the_platform_may_take_an_owners_object_away() -> None:
    tpm, _, _ = started()
    key = create_primary(tpm).handle
    assert persist(tpm, key, 0x81000000) == 0
    assert persist(tpm, 0x81000000, 0x81000000, PLATFORM) == 0


def test_an_endorsement_key_of_the_owners_goes_with_either_hierarchy() -> None:
    for closed in (OWNER, ENDORSEMENT):
        tpm, _, _ = started()
        key = create_primary(tpm, hierarchy=ENDORSEMENT).handle
        assert persist(tpm, key, 0x81010001) == 0
        assert send(tpm, 0x121, closed.to_bytes(4, "big") + b"\0", closed).rc == 0
        assert send(tpm, 0x173, b"", 0x81010001, auths=0).rc == 0x18B


def test_evict_control_asks_for_the_password() -> None:
    tpm, _, _ = started()
    key = create_primary(tpm).handle
    params = bytes.fromhex("81000000")
    area = session(auth=b"wrong")
    assert refused(tpm, lambda: send(tpm, 0x120, params, OWNER, key, area=area)) == (
        0x9A2
    )


def test_context_numbers_go_on_in_a_restored_tpm() -> None:
    """One key for one context: its number is not used again under one secret."""
    tpm, _, _ = started()
    key = create_primary(tpm).handle
    context = save(tpm, key)
    assert rc_of(tpm.execute(SHUTDOWN_STATE)) == 0
    again, _, _ = off_tpm()
    again.restore_state(tpm.save_state())
    again.power_on()
    assert rc_of(again.execute(STARTUP_STATE)) == 0
    handle = restore(again, context).handle
    assert save(again, handle)[:8] == bytes(7) + b"\2"


def test_a_context_after_shutdown_makes_it_a_crash() -> None:
    tpm, _, _ = started()
    key = create_primary(tpm).handle
    assert rc_of(tpm.execute(SHUTDOWN_STATE)) == 0
    save(tpm, key)
    power_cycle(tpm)
    assert rc_of(tpm.execute(STARTUP_STATE)) == 0x1C4
