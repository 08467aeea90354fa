"""The 81 guests that the real ultravisor's C code judged, through the whole UV_ESM."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from pefstack.firmware.ultravisor.codes import UvCall
from pefstack.firmware.ultravisor.files import name_words, part_bytes
from uv_guest_kit import INITRD_AT, Guest, vector
from uv_kit import World, entered, refusal

CASES: Final[list[dict[str, Any]]] = json.loads(vector("verdicts.json"))
PARTS: Final = {
    "RTAS hash validation": "rtas",
    "kernel hash validation": "kernel",
    "initrd hash validation": "initrd",
    "kernel command line hash validation": "bootargs",
}
# where the ones fail that the real code gives no reason for; what it crashes over last
WHERE: Final = {
    "b-machine2": (16, "lockbox"),
    "c-machine1": (16, "lockbox"),
    "bootargs-absent": (13, "bootargs"),
    "mac3": (15, "B_MAC_SIZE"),
    "mac17": (15, "B_MAC_SIZE"),
    "mac-bad": (17, "B_TAG"),
    "ct-flip": (17, "B_TAG"),
    **{f"{each}-missing": (15, "B_ITEM") for each in ("algo", "iv", "mac", "ct")},
    "only-lockbox2": (16, "B_NO_LOCKBOX"),
    "only-lockbox10": (16, "B_NO_LOCKBOX"),
    "no-lockbox": (16, "B_NO_LOCKBOX"),
    **{
        f"dig-no-{each}": (17, "B_DIGEST_VALUE")
        for each in ("rtas", "kernel", "kernel-size", "initrd", "bootargs")
    },
    "dig-ksize0": (17, "B_KERNEL_SIZE"),
    "dig-ksize-huge": (18, "kernel"),
    "dig-65536": (15, "B_CIPHERTEXT"),
    "initrd-absent": (12, "initrd"),
    "wrap-badmagic": (15, "operand-place"),
    "bootargs-emptyprop": (18, "B_BOOTARGS"),
    "dig-garbage": (17, "B_DIGEST_TREE"),
}


def guest(case: dict[str, Any]) -> Guest:
    """Everything at the addresses of the vector."""
    chosen, line = case.get("chosen_esm_blob_file"), case["bootargs_prop_hex"]
    present = case["name"] != "initrd-absent"
    return Guest(
        kernel=vector(case["kernel_file"]),
        initrd=vector(case["initrd_file"]) if present else None,
        initrd_at=case["initrd_gpa"] or INITRD_AT,
        bootargs=None if line is None else bytes.fromhex(line),
        operand=vector(chosen) if chosen else None,
        operand_at=0x580000,
        cells=8 if case["cells64"] else 4,
        rtas=bytes.fromhex(case["rtas_hex"]),
        rtas_text=case["slof_rtas_size"],
    )


def called(name: str) -> tuple[World, dict[str, Any], Any]:
    """The machine after the call, the case, and how the call ended."""
    case = next(each for each in CASES if each["name"] == name)
    world = World("real").load_key(case["tpm_key"]).place(guest(case))
    return world, case, world.esm()


def expected(case: dict[str, Any]) -> tuple[int, str]:
    """Step and reason of what the real code refuses."""
    found = case["oracle"]
    if found["failed"]:
        return 18, "B_DIGEST"
    if found["locate"] == "locate failed" and case["name"] not in WHERE:
        return 14, "no-operand"
    return WHERE[case["name"]]


@pytest.mark.parametrize("name", [each["name"] for each in CASES])
def test_the_verdict_of_the_real_parser(name: str) -> None:
    world, case, end = called(name)
    found = case["oracle"]
    good = found["exit"] == 0 and found["blob_chk"] == 0
    assert entered(end) is good, end
    assert world.running.vm_secure is good
    if good:
        return
    assert world.r3 == -4
    assert refusal(end) == expected(case)
    named = end.reason.text.partition("found another ")[2].partition(", expected")[0]
    words = set(named.split(", ")) - {""}
    assert words == {PARTS[each] for each in found["failed"]}


def test_all_of_them_and_the_two_that_crash_the_real_code() -> None:
    assert len(CASES) == 81
    crashed = {each["name"] for each in CASES if each["oracle"]["exit"]}
    assert crashed == {"bootargs-emptyprop", "dig-garbage"}
    for name in crashed:
        world, _, end = called(name)
        assert not entered(end)
        assert (world.r3, world.uv.svms) == (-4, {})


@pytest.mark.parametrize("name", ["ok-b", "ok-c"])
def test_attachments_as_the_real_code_hands_them_out(name: str) -> None:
    """Count and first 64 bytes: what UV_ESMB_GET_FILE gave there."""
    world, case, _ = called(name)
    for line in case["oracle"]["files"]:
        _, file, status, size, *content = line.split(" ")
        words = world.sc2(UvCall.ESMB_GET_FILE, 0, *name_words(file))
        if int(status):
            assert words[0] == int(status)
            continue
        assert words[0] == min(int(size), 64)
        first = bytes.fromhex(content[0] if content else "")[:64]
        assert part_bytes(words[0], words[1:9]) == first[: words[0]]
