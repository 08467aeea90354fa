"""UV_ESMB_GET_FILE: a secure VM reads each byte of its secrets once (esm.md 3.5)."""

from __future__ import annotations

from functools import cache
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm_case_kit import changed_blob, edited_file
from esm_kit import V2
from pefstack.firmware.ultravisor.codes import UvCall, UvStatus
from pefstack.firmware.ultravisor.files import name_words, part_bytes
from pefstack.hw.chip import MSR_HV, MSR_S
from pefstack.hw.cpu import MSR_PR
from uv_guest_kit import Guest, vector
from uv_kit import World, entered
from uv_state_kit import secure

SECRETS: Final = {name: bytes.fromhex(raw) for _, name, raw in V2["blocks"][1:]}
PASSPHRASE, DATA, EMPTY = SECRETS
BLOB_FILES: Final = {
    "rootd": vector("plain/file-b-rootd"),
    "bin.1": vector("plain/file-b-bin.1"),
}


@cache
def _blob(profile: str) -> World:
    world = World(profile).load_key("tpm1")
    guest = Guest(
        kernel=vector("in/vmlinux-b.bin"),
        initrd=vector("esmb-initrd-b.img"),
        bootargs=b"  root=/dev/vda1   svm=on\tconsole=hvc0 \0",
    )
    assert entered(world.place(guest).esm())
    return world


def of_blob(profile: str = "real") -> World:
    """A secure VM with the attachments of blob B."""
    return _blob(profile).fork()


def asked(world: World, offset: int, name: str | bytes) -> tuple[int, bytes]:
    """r3, and the bytes that came in r4 to r11."""
    text = name if isinstance(name, str) else name.decode("latin-1")
    words = world.sc2(UvCall.ESMB_GET_FILE, offset, *name_words(text))
    return words[0], part_bytes(max(words[0], 0), words[1:9])


def whole(world: World, name: str) -> bytes:
    """As a guest reads a file: until nothing more comes."""
    parts: list[bytes] = []
    while True:
        count, part = asked(world, sum(map(len, parts)), name)
        assert 0 <= count <= 64
        if not count:
            return b"".join(parts)
        parts.append(part)


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_of_an_operand(name: str) -> None:
    assert whole(secure(), name) == SECRETS[name]


@pytest.mark.parametrize("name", BLOB_FILES)
@pytest.mark.parametrize("profile", ["real", "strict"])
def test_attachments_of_a_blob(name: str, profile: str) -> None:
    assert whole(of_blob(profile), name) == BLOB_FILES[name]


def test_each_byte_once() -> None:
    """An offset below the last byte handed out is U_PARAMETER; others go on."""
    world = of_blob()
    assert asked(world, 0, "bin.1")[0] == 64
    for offset in (0, 1, 63):
        assert asked(world, offset, "bin.1") == (UvStatus.PARAMETER, b"")
    assert asked(world, 1000, "bin.1") == (64, BLOB_FILES["bin.1"][1000:1064])
    assert asked(world, 64, "bin.1") == (UvStatus.PARAMETER, b"")
    assert asked(world, 2990, "bin.1") == (11, BLOB_FILES["bin.1"][2990:])
    assert whole(world, "rootd") == BLOB_FILES["rootd"]  # another name, another count


@pytest.mark.parametrize("past", [0, 1, 100, 62_000])
def test_nothing_at_and_past_the_end(past: int) -> None:
    world = of_blob()
    assert asked(world, 3001 + past, "bin.1") == (0, b"")


@pytest.mark.parametrize("offset", [0x10000, 1 << 32, (1 << 64) - 1])
def test_an_offset_that_no_file_has(offset: int) -> None:
    for world in (of_blob(), secure()):
        assert asked(world, offset, "bin.1")[0] == UvStatus.PARAMETER


def test_a_name_belongs_to_the_process_that_asked_first() -> None:
    world = secure()
    world.vm.cpu.pid = 7
    assert asked(world, 0, PASSPHRASE) == (28, SECRETS[PASSPHRASE])
    world.vm.cpu.pid = 8
    for offset in (0, 28, 100):
        assert asked(world, offset, PASSPHRASE) == (UvStatus.PARAMETER, b"")
    assert asked(world, 0, DATA)[0] > 0
    world.vm.cpu.pid = 7
    assert asked(world, 28, PASSPHRASE) == (0, b"")
    assert asked(world, 0, DATA)[0] == UvStatus.PARAMETER


@pytest.mark.parametrize(
    "name",
    ["none", "", "rootd2", "rootd/", "rootd@0", "../files/rootd", "/", "R", "crypt"],
)
def test_a_name_that_there_is_not(name: str) -> None:
    for world in (of_blob("strict"), secure()):
        assert asked(world, 0, name) == (-1, b"")


def test_a_name_ends_at_its_first_nul_and_has_64_bytes_at_most() -> None:
    name = PASSPHRASE.encode()
    assert asked(secure(), 0, name + b"\0rest")[0] == 28
    assert asked(secure(), 0, b"a" * 64)[0] == -1
    assert asked(secure(), 0, b"\xff\xfe")[0] == -1


def test_a_file_that_does_not_open() -> None:
    """A bad tag is found when the file is asked for: U_PARAMETER, every time."""
    world = (
        World("real").load_key("tpm1").place(edited_file("b", "rootd", mac=bytes(16)))
    )
    assert entered(world.esm())
    assert asked(world, 0, "rootd") == (UvStatus.PARAMETER, b"")
    assert asked(world, 0, "rootd") == (UvStatus.PARAMETER, b"")
    assert whole(world, "bin.1") == BLOB_FILES["bin.1"]


def test_a_broken_tree_of_files_in_profile_real() -> None:
    """The guest starts without a look at it; asking is U_PARAMETER."""
    guest = changed_blob("file", **{"files-fdt": b"no tree"})()
    world = World("real").load_key("tpm1").place(guest)
    assert entered(world.esm())
    assert asked(world, 0, "rootd") == (UvStatus.PARAMETER, b"")


@pytest.mark.parametrize(
    ("mode", "good"),
    [(MSR_S, True), (MSR_S | MSR_PR, True), (0, False), (MSR_PR, False)],
)
def test_every_privilege_of_a_secure_vm_and_nobody_else(mode: int, good: bool) -> None:
    world = secure()
    world.vm.cpu.msr = mode
    count, part = asked(world, 0, PASSPHRASE)
    assert (count == 28) is good
    assert good or (count, part) == (UvStatus.PERMISSION, b"")


@pytest.mark.parametrize("mode", [MSR_HV, MSR_HV | MSR_S, MSR_HV | MSR_PR])
def test_the_hypervisor_gets_nothing(mode: int) -> None:
    world = secure()
    world.vm.cpu.msr = mode
    assert asked(world, 0, PASSPHRASE) == (UvStatus.PERMISSION, b"")
    assert world.hv(UvCall.ESMB_GET_FILE, 0, *name_words(PASSPHRASE)) == -11


def test_another_vm_has_other_files() -> None:
    """A second VM without a record, then one with files of its own."""
    world = secure()
    first = world.vm
    world.place(Guest())
    assert asked(world, 0, PASSPHRASE)[0] == UvStatus.PERMISSION
    world.running.vm = first
    assert asked(world, 0, PASSPHRASE)[0] == 28


@given(st.lists(st.tuples(st.integers(0, 3200), st.integers(0, 2)), max_size=20))
def test_no_byte_is_given_twice(asks: list[tuple[int, int]]) -> None:
    """Whatever is asked: one process alone gets bytes, each at most once."""
    world, content = of_blob(), BLOB_FILES["bin.1"]
    given: set[int] = set()
    owners: set[int] = set()
    for offset, pid in asks:
        world.vm.cpu.pid = pid
        count, part = asked(world, offset, "bin.1")
        if count < 0:
            assert count == UvStatus.PARAMETER
            continue
        owners.add(pid)
        got = set(range(offset, offset + count))
        assert part == content[offset : offset + count]
        assert not got & given
        given |= got
    assert len(owners) <= 1
