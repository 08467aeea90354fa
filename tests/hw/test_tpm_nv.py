"""NV indexes by their commands: definition, content, locks, rights (tpm.md 5)."""

from __future__ import annotations

import hashlib

import pytest

from pefstack.hw.tpm.engine import Tpm
from tpm_client_kit import two_b
from tpm_kit import (
    EMPTY_PASSWORD,
    PLATFORM,
    SHUTDOWN_CLEAR,
    SHUTDOWN_STATE,
    STARTUP_CLEAR,
    command,
    power_cycle,
    rc_of,
    session,
    started,
    whole_state,
)

OWNER, INDEX = 0x40000001, 0x01500001
PLAIN = 0x02060006  # OWNERWRITE AUTHWRITE OWNERREAD AUTHREAD NO_DA
WRITTEN = 1 << 29


def public(
    attributes: int = PLAIN,
    size: int = 16,
    index: int = INDEX,
    policy: bytes = b"",
    alg: int = 0x000B,
) -> bytes:
    head = index.to_bytes(4, "big") + alg.to_bytes(2, "big")
    head += attributes.to_bytes(4, "big")
    return head + two_b(policy) + size.to_bytes(2, "big")


def define(tpm: Tpm, area: bytes, auth: bytes = b"nvpw", by: int = OWNER) -> int:
    params = two_b(auth) + two_b(area)
    return rc_of(
        tpm.execute(command(0x12A, params, handles=(by,), area=EMPTY_PASSWORD))
    )


def act(
    tpm: Tpm, code: int, params: bytes = b"", *, by: int = INDEX, auth: bytes = b"nvpw"
) -> bytes:
    area = session(auth=auth if by == INDEX else b"")
    return tpm.execute(command(code, params, handles=(by, INDEX), area=area))


def write(tpm: Tpm, data: bytes, offset: int = 0, *, by: int = INDEX) -> int:
    return rc_of(act(tpm, 0x137, two_b(data) + offset.to_bytes(2, "big"), by=by))


def read(tpm: Tpm, size: int = 16, offset: int = 0, *, by: int = INDEX) -> bytes:
    params = size.to_bytes(2, "big") + offset.to_bytes(2, "big")
    answer = act(tpm, 0x14E, params, by=by)
    return answer[16:-5] if rc_of(answer) == 0 else answer


def read_public(tpm: Tpm) -> tuple[bytes, bytes]:
    raw = tpm.execute(command(0x169, handles=(INDEX,)))
    assert rc_of(raw) == 0
    size = int.from_bytes(raw[10:12], "big")
    return raw[12 : 12 + size], raw[14 + size :]


def attributes_of(tpm: Tpm) -> int:
    return int.from_bytes(read_public(tpm)[0][6:10], "big")


def defined(attributes: int = PLAIN, size: int = 16) -> Tpm:
    tpm, _, _ = started()
    by = PLATFORM if attributes & 1 << 30 else OWNER
    assert define(tpm, public(attributes, size), by=by) == 0
    return tpm


def restart(tpm: Tpm) -> None:
    assert rc_of(tpm.execute(SHUTDOWN_CLEAR)) == 0
    power_cycle(tpm)
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0


@pytest.mark.parametrize(
    ("area", "rc"),
    [
        (public(), 0),
        (public(PLAIN | WRITTEN), 0x2C2),
        (public(PLAIN | 1 << 11), 0x2C2),
        (public(PLAIN | 1 << 28), 0x2C2),
        (public(0x02060000), 0x2C2),
        (public(0x02000006), 0x2C2),
        (public(PLAIN | 1 << 10), 0x2C2),
        (public(PLAIN | 0x100), 0x2E1),
        (public(PLAIN | 1 << 30), 0x182),
        (public(PLAIN | 0x30), 0x2C2),
        (public(PLAIN | 0x10, 16), 0x2D5),
        (public(PLAIN | 0x10 | 1 << 27, 8), 0x2C2),
        (public(PLAIN | 0x20, 7), 0x2D5),
        (public(PLAIN | 0x40, 20), 0x2D5),
        (public(PLAIN | 0x40, 32), 0),
        (public(PLAIN, 2048), 0),
        (public(PLAIN, 2049), 0x2D5),
        (public(PLAIN | 1 << 12, 1025), 0x2D5),
        (public(policy=bytes(31)), 0x2D5),
        (public(policy=bytes(32)), 0),
        (public(index=0x02000000), 0x2C4),
        (public(alg=0x0012), 0x2C3),
        (public(0x02060002 | 0x80, 8), 0),
        (public(0x00060002 | 0x80, 8), 0x2C2),
        (public(PLAIN | 0x80, 8), 0x2C2),
        (public() + b"\0", 0x2D5),
    ],
)
def test_definitions(area: bytes, rc: int) -> None:
    tpm, _, _ = started()
    before = whole_state(tpm)
    assert define(tpm, area) == rc
    if rc:
        assert whole_state(tpm) == before


def test_defined_once_and_undefined_by_its_definer() -> None:
    tpm = defined()
    assert define(tpm, public()) == 0x14C
    assert define(tpm, public(index=INDEX + 1), auth=bytes(range(1, 34))) == 0x1D5
    assert rc_of(act(tpm, 0x122, by=OWNER)) == 0
    assert rc_of(tpm.execute(command(0x169, handles=(INDEX,)))) == 0x18B
    tpm = defined(0x42070007)
    assert rc_of(act(tpm, 0x122, by=OWNER)) == 0x149
    assert rc_of(act(tpm, 0x122, by=PLATFORM)) == 0


def test_ordinary_content_and_its_bounds() -> None:
    tpm = defined()
    assert rc_of(read(tpm)) == 0x14A
    assert write(tpm, b"\7" * 4, 4) == 0
    assert read(tpm) == b"\xff" * 4 + b"\7" * 4 + b"\xff" * 8  # as swtpm
    assert read(tpm, 0, 16) == b""
    assert [write(tpm, b"x", 16), write(tpm, b"", 17)] == [0x146, 0x2C4]
    assert [rc_of(read(tpm, 16, 1)), rc_of(read(tpm, 1, 17))] == [0x146, 0x2C4]
    assert rc_of(read(tpm, 1025)) == 0x1C4
    assert rc_of(act(tpm, 0x134)) == 0x282
    assert attributes_of(tpm) == PLAIN | WRITTEN


def test_write_all_takes_nothing_less() -> None:
    tpm = defined(PLAIN | 1 << 12)
    assert [write(tpm, b"x" * 15), write(tpm, b"x" * 16)] == [0x146, 0]


def test_counter_starts_beyond_every_count_there_was() -> None:
    tpm = defined(PLAIN | 0x10, 8)
    assert [rc_of(act(tpm, 0x134)) for _ in range(3)] == [0, 0, 0]
    assert int.from_bytes(read(tpm, 8), "big") == 3
    assert write(tpm, bytes(8)) == 0x082
    assert rc_of(act(tpm, 0x122, by=OWNER)) == 0
    assert define(tpm, public(PLAIN | 0x10, 8)) == 0
    assert rc_of(act(tpm, 0x134)) == 0
    assert int.from_bytes(read(tpm, 8), "big") == 4


def test_bits_and_extend() -> None:
    tpm = defined(PLAIN | 0x20, 8)
    for bits in (1, 1 << 63):
        assert rc_of(act(tpm, 0x135, bits.to_bytes(8, "big"))) == 0
    assert read(tpm, 8).hex() == "8000000000000001"
    tpm = defined(PLAIN | 0x40, 32)
    expected = bytes(32)
    for data in (b"", b"one", b"two" * 300):
        assert rc_of(act(tpm, 0x136, two_b(data))) == 0
        expected = hashlib.sha256(expected + data).digest()
    assert read(tpm, 32) == expected


@pytest.mark.parametrize("kept", [False, True])
def test_write_lock(*, kept: bool) -> None:
    """WRITE_STCLEAR goes at the next Startup(CLEAR), WRITEDEFINE stays."""
    tpm = defined(PLAIN | (1 << 13 if kept else 1 << 14))
    assert write(tpm, b"x") == 0
    name = read_public(tpm)[1]
    assert [rc_of(act(tpm, 0x138)) for _ in range(2)] == [0, 0]
    assert read_public(tpm)[1] != name
    assert write(tpm, b"y") == 0x148
    restart(tpm)
    assert write(tpm, b"y") == (0x148 if kept else 0)


def test_write_lock_that_was_not_defined() -> None:
    tpm = defined()
    assert rc_of(act(tpm, 0x138)) == 0x282
    assert rc_of(act(tpm, 0x14F)) == 0x282


def test_read_lock_goes_with_the_boot() -> None:
    tpm = defined(PLAIN | 1 << 31)
    assert rc_of(act(tpm, 0x14F)) == 0  # also before the first write
    assert write(tpm, b"x") == 0
    assert rc_of(read(tpm)) == 0x148
    restart(tpm)
    assert read(tpm, 1) == b"x"


def test_global_lock() -> None:
    tpm = defined(PLAIN | 1 << 15)
    assert write(tpm, b"x") == 0
    raw = command(0x132, handles=(OWNER,), area=EMPTY_PASSWORD)
    assert rc_of(tpm.execute(raw)) == 0
    assert write(tpm, b"y") == 0x148
    restart(tpm)
    assert write(tpm, b"y") == 0


def test_clear_stclear_unwrites() -> None:
    tpm = defined(PLAIN | 1 << 27)
    assert write(tpm, b"x") == 0
    restart(tpm)
    assert rc_of(read(tpm)) == 0x14A


@pytest.mark.parametrize(
    ("attributes", "by", "reads", "writes"),
    [
        (0x02060006, OWNER, 0, 0),
        (0x02040004, OWNER, 0x149, 0x149),
        (0x02060006, PLATFORM, 0x149, 0x149),
        (0x02050005, PLATFORM, 0, 0),
        (0x02020002, INDEX, 0x12F, 0x12F),
    ],
)
def test_rights(attributes: int, by: int, reads: int, writes: int) -> None:
    tpm = defined(attributes)
    writer = OWNER if attributes & 2 else INDEX
    assert write(tpm, b"x" * 16, by=writer) == 0
    assert write(tpm, b"y" * 16, by=by) == writes
    found = read(tpm, by=by)
    assert (rc_of(found) if reads else 0) == reads
    assert reads or found == b"y" * 16


def test_an_index_authorizes_only_itself() -> None:
    tpm = defined()
    assert define(tpm, public(index=INDEX + 1)) == 0
    raw = command(
        0x137,
        two_b(b"x") + b"\0\0",
        handles=(INDEX, INDEX + 1),
        area=session(auth=b"nvpw"),
    )
    assert rc_of(tpm.execute(raw)) == 0x149


def test_pin_pass_counts_uses_up_to_its_limit() -> None:
    tpm = defined(0x02060002 | 0x90, 8)
    assert rc_of(read(tpm, 8)) == 0x12F  # not written: no PIN to try
    assert write(tpm, bytes.fromhex("0000000000000002"), by=OWNER) == 0
    codes = [rc_of(act(tpm, 0x14E, b"\0\x08\0\0")) for _ in range(3)]
    assert codes == [0, 0, 0x12F]
    assert read(tpm, 8, by=OWNER).hex() == "0000000200000002"


def test_pin_fail_counts_wrong_ones() -> None:
    tpm = defined(0x02060002 | 0x80, 8)
    assert write(tpm, bytes.fromhex("0000000000000002"), by=OWNER) == 0
    wrong = [rc_of(act(tpm, 0x14E, b"\0\x08\0\0", auth=b"x")) for _ in range(2)]
    assert wrong == [0x9A2, 0x9A2]
    assert rc_of(read(tpm, 8)) == 0x12F


def test_crash_forgets_an_orderly_index() -> None:
    tpm = defined(PLAIN | 1 << 26)
    assert write(tpm, b"x") == 0
    power_cycle(tpm)
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0
    assert rc_of(read(tpm)) == 0x14A


def test_a_reset_forgets_an_orderly_index_after_a_shutdown_too() -> None:
    tpm = defined(PLAIN | 1 << 26 | 1 << 13)
    assert write(tpm, b"x") == 0
    assert rc_of(act(tpm, 0x138)) == 0
    restart(tpm)
    assert attributes_of(tpm) == PLAIN | 1 << 26 | 1 << 13  # not locked either


def test_a_restart_keeps_an_orderly_index() -> None:
    tpm = defined(PLAIN | 1 << 26)
    assert write(tpm, b"x") == 0
    assert rc_of(tpm.execute(SHUTDOWN_STATE)) == 0
    power_cycle(tpm)
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0
    assert read(tpm, 1) == b"x"


def test_an_orderly_counter_never_repeats_after_a_crash() -> None:
    tpm = defined(PLAIN | 1 << 26 | 0x10, 8)
    assert rc_of(act(tpm, 0x134)) == 0
    restart(tpm)
    assert read(tpm, 8) == (1).to_bytes(8, "big")
    power_cycle(tpm)
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0
    assert read(tpm, 8) == (0xFF).to_bytes(8, "big")
    assert rc_of(act(tpm, 0x134)) == 0
    assert read(tpm, 8) == (0x100).to_bytes(8, "big")
    power_cycle(tpm)
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0
    assert read(tpm, 8) == (0x1FF).to_bytes(8, "big")
    assert rc_of(act(tpm, 0x122, by=OWNER)) == 0
    assert define(tpm, public(PLAIN | 0x10, 8)) == 0
    assert rc_of(act(tpm, 0x134)) == 0
    assert read(tpm, 8) == (0x200).to_bytes(8, "big")


def test_no_room() -> None:
    tpm, _, _ = started()
    codes = [define(tpm, public(size=2048, index=INDEX + n)) for n in range(64)]
    assert codes[-1] == 0x14B
    assert set(codes) == {0, 0x14B}
