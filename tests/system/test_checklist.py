"""Rows P1 to P8, P49 and P51 of the checklist, each on real bytes of real boots."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from pefstack import BootFailure, Machine
from pefstack.firmware import opal
from pefstack.firmware.boot import FIRMWARE
from pefstack.firmware.invariants import broken_invariants
from pefstack.hw.tpm import client
from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.hw.tpm.policy import policy_pcr
from system.power7a import SEPARATOR, chain, key_hash_in, pcr6, record, xip_section

GOOD_ORDER = [
    ("sbe_immutable", "hw-key-hash"),
    ("sbe_immutable", "secure-jumper"),
    ("sbe_immutable", "sb-verification"),
    ("hostboot_ext", "policy-separator"),
    ("opal", "pef-enable"),
]


def measures(machine: Machine, pcr: int = 6) -> list[tuple[str, str]]:
    """Who announced what for a PCR, in order."""
    return [
        (event.source, str(event.detail["what"]))
        for event in machine.journal
        if event.kind == "measure" and event.detail["pcr"] == pcr
    ]


def extends(machine: Machine, pcr: int = 6) -> list[str]:
    """What the TPM itself extended into a PCR, in order."""
    return [
        str(event.detail["digest"])
        for event in machine.journal
        if event.kind == "extend" and event.detail["pcr"] == pcr
    ]


def kinds_after(machine: Machine, kind: str) -> list[str]:
    """The kinds of the events after the first of a kind."""
    kinds = [event.kind for event in machine.journal]
    return kinds[kinds.index(kind) + 1 :]


def expected_pcr6(machine: Machine, *, smd: bool = False, pef: bool = True) -> bytes:
    """PCR6 from the SEEPROM's bytes and the settings, computed a third time."""
    seeprom = machine.board.seeprom.content
    keys = key_hash_in(xip_section(seeprom, "sbh_firmware"))
    code = xip_section(seeprom, "sb_verification")
    return pcr6(keys, code, smd=smd, pef=pef)


def seal_policy(value: bytes, pcr: int = 6) -> bytes:
    """The policy under which a seed would be sealed: PolicyPCR of one value."""
    return policy_pcr(bytes(32), {TpmAlgId.SHA256: (pcr,)}, [value])


def flip_section(machine: Machine, name: str, at: int = 0x40) -> None:
    """Change one byte of a SEEPROM section, with a clip on the chip's legs."""
    seeprom = machine.board.seeprom
    section = xip_section(seeprom.content, name)
    offset = seeprom.content.index(section) + at
    seeprom.reprogram(offset, bytes([seeprom.content[offset] ^ 1]))


def refuse(machine: Machine) -> BootFailure:
    """Boot and expect a refusal."""
    with pytest.raises(BootFailure) as caught:
        machine.run()
    return caught.value


def test_p1_immutable_code_runs_first_and_measures_key_hash_then_jumper(
    small: Machine,
) -> None:
    small.run(until="sbe_immutable")
    starts = [event.source for event in small.journal if event.kind == "start"]
    assert starts == ["sbe_immutable"]
    keys = key_hash_in(xip_section(small.board.seeprom.content, "sbh_firmware"))
    assert extends(small)[:2] == [keys[:32].hex(), bytes(32).hex()]
    assert measures(small) == GOOD_ORDER[:3]


def test_p1_a_jumper_set_to_off_is_measured_as_1() -> None:
    machine = Machine("small", settings=["machine.chip.smd=true"])
    machine.run(until="sbe_immutable")
    assert extends(machine)[1] == record(b"\1").hex()


def test_p2_signature_of_the_mutable_loader_before_the_third_extend(
    small: Machine,
) -> None:
    small.run(until="sbe_immutable")
    story = [
        event.detail["code"] if event.kind == "verify" else event.detail["what"]
        for event in small.journal
        if event.kind in ("verify", "measure")
    ]
    assert story.index("SBE_FW") < story.index("sb-verification")
    code = xip_section(small.board.seeprom.content, "sb_verification")
    assert len(code) % 8 == 0
    assert extends(small)[2] == hashlib.sha512(code).hexdigest()[:64]


@pytest.mark.parametrize("section", ["base", "sb_verification"])
def test_p2_changed_loader_code_is_refused_and_not_measured(
    small: Machine, section: str
) -> None:
    flip_section(small, section)
    failure = refuse(small)
    assert (failure.stage, failure.log) == ("sbe_immutable", 0xFFFFFFFFFFFF8172)
    assert measures(small) == GOOD_ORDER[:2]
    assert small.pcr(0) == bytes(32)


@pytest.mark.parametrize(
    ("place", "code", "refuser"),
    [
        ("hbbl", "HBBL", "sbe_mutable"),
        ("HBB", "HBB", "hostboot_loader"),
        ("HBI", "HBI", "hostboot_init"),
    ],
)
def test_p3_each_loader_verifies_the_next(
    small: Machine, place: str, code: str, refuser: str
) -> None:
    good = small.fork().run()
    assert any(
        (event.source, event.kind, event.detail.get("code"), event.detail.get("good"))
        == (refuser, "verify", code, 1)
        for event in good.journal
    )
    if place == "hbbl":
        flip_section(small, "hbbl")
    else:
        old = small.flash[place].data[0x1234]
        small.flash[place].write(bytes([old ^ 0x80]), 0x1234)
    failure = refuse(small)
    assert (failure.stage, failure.log) == (refuser, 0xFFFFFFFFFFFF8172)


def test_p4_separator_before_opal_is_verified(small: Machine) -> None:
    small.run(until="hostboot_ext")
    story = [
        event.detail["what"] if event.kind == "measure" else event.detail["code"]
        for event in small.journal
        if event.source == "hostboot_ext" and event.kind in ("measure", "verify")
    ]
    assert story.index("policy-separator") < story.index("PAYLOAD")
    assert extends(small)[3] == SEPARATOR.hex()


def test_p4_hostboot_ext_verifies_opal(small: Machine) -> None:
    small.flash["PAYLOAD"].write(b"\xa5" * 8, 0x2000)
    failure = refuse(small)
    assert (failure.stage, failure.log) == ("hostboot_ext", 0xFFFFFFFFFFFF8172)
    assert measures(small) == GOOD_ORDER[:4]


@pytest.mark.parametrize("pef", [True, False])
def test_p5_opal_extends_the_pef_enable_bit(pef: bool) -> None:
    machine = Machine("small", settings=[f"machine.chip.pef-enable={str(pef).lower()}"])
    machine.run()
    assert measures(machine) == GOOD_ORDER
    assert extends(machine)[4] == record(bytes([pef])).hex()


@pytest.mark.parametrize("stage", FIRMWARE[1:])
def test_p6_a_failed_signature_ends_execution(small: Machine, stage: str) -> None:
    """Damage what runs in ``stage``: nothing from there on runs or is measured."""
    number = FIRMWARE.index(stage)
    good = small.fork().run()
    place = {1: "base", 2: "hbbl", 3: "HBB", 4: "HBI", 5: "PAYLOAD"}[number]
    if number < 3:
        flip_section(small, place)
    else:
        small.flash[place].write(b"\x5a" * 8, 0x1800)
    failure = refuse(small)
    ran = {event.source for event in small.journal if event.kind == "start"}
    assert ran == set(FIRMWARE[:number])
    assert failure.stage == FIRMWARE[number - 1]
    assert kinds_after(small, "boot-failure") == []
    assert small.stage is None
    short, whole = extends(small), extends(good)
    assert short == whole[: len(short)]
    assert seal_policy(small.pcr(6)) != seal_policy(good.pcr(6))
    assert broken_invariants(small.journal) == {}


def test_p7_pcr6_equals_the_value_from_images_and_settings_alone(
    small: Machine,
) -> None:
    predicted = expected_pcr6(small)
    assert small.run().pcr(6) == predicted


def test_p7_every_input_changes_pcr6(small: Machine) -> None:
    seeprom = small.board.seeprom.content
    keys = key_hash_in(xip_section(seeprom, "sbh_firmware"))
    code = xip_section(seeprom, "sb_verification")
    values = {
        Machine("small", settings=settings).run().pcr(6)
        for settings in (
            [],
            ["image.keys.file=", "image.keys.seed=others"],
            ["machine.chip.smd=true"],
            ["image.seeprom.sb-verification.content.seed=other"],
            ["machine.chip.pef-enable=false"],
        )
    }
    without_separator = chain(
        record(keys),
        record(b"\0"),
        record(hashlib.sha512(code).digest()),
        record(b"\1"),
    )
    assert len(values | {without_separator}) == 6


def test_p8_another_pcr_and_further_values() -> None:
    settings = [
        "machine.measure.pcr=14",
        'machine.measure.further=[{text="SITE", value="c0ffee"}]',
    ]
    machine = Machine("small", settings=settings).run()
    seeprom = machine.board.seeprom.content
    expected = chain(
        record(key_hash_in(xip_section(seeprom, "sbh_firmware"))),
        record(b"\0"),
        record(hashlib.sha512(xip_section(seeprom, "sb_verification")).digest()),
        SEPARATOR,
        record(bytes.fromhex("c0ffee")),
        record(b"\1"),
    )
    assert machine.pcr(14) == expected
    assert broken_invariants(machine.journal) == {}
    # the sealed data's policy names the same PCR: value and selection both count
    selection = bytes.fromhex("00000001000b03004000")
    pcr_digest = hashlib.sha256(expected).digest()
    policy = hashlib.sha256(
        bytes(32) + bytes.fromhex("0000017f") + selection + pcr_digest
    )
    assert seal_policy(machine.pcr(14), 14) == policy.digest()
    assert seal_policy(machine.pcr(14), 6) != policy.digest()


def test_p8_the_moved_pcr_leaves_pcr6_to_the_separators() -> None:
    machine = Machine("small", settings=["machine.measure.pcr=14"]).run()
    assert machine.pcr(6) == chain(SEPARATOR, SEPARATOR, SEPARATOR)


def test_p49_jumper_off_goes_on_with_unverified_code_and_another_pcr6(
    small: Machine,
) -> None:
    good = small.fork().run()
    off = Machine("jumper-off").run()
    assert [event.source for event in off.journal if event.kind == "start"] == [
        *FIRMWARE
    ]
    verdicts = {
        event.detail["code"]: event.detail["good"]
        for event in off.journal
        if event.kind == "verify"
    }
    assert verdicts["HBI"] == 0
    assert extends(off)[0] == extends(good)[0]
    assert extends(off)[1] != extends(good)[1]
    assert off.pcr(6) == expected_pcr6(off, smd=True)
    assert seal_policy(off.pcr(6)) != seal_policy(good.pcr(6))


def test_p49_the_same_image_with_the_jumper_on_is_refused() -> None:
    off = Machine("jumper-off")
    on = Machine("jumper-off", settings=["machine.chip.smd=false"])
    assert bytes(off.board.flash.read(0, off.board.flash.size)) == bytes(
        on.board.flash.read(0, on.board.flash.size)
    )
    assert refuse(on).stage == "hostboot_init"


def test_p49_what_is_really_there_gets_measured() -> None:
    off = Machine("jumper-off").run()
    header_and_payload = off.flash["HBI"].data
    size = int.from_bytes(header_and_payload[1316 + 25 : 1316 + 33], "big")
    payload = header_and_payload[4096 : 4096 + size]
    measured = [
        event.detail["digest"]
        for event in off.journal
        if event.kind == "measure" and event.detail["what"] == "hbi"
    ]
    assert measured == [hashlib.sha512(payload).hexdigest()[:64]]


def test_p51_the_record_is_extended_as_0_and_as_1() -> None:
    on, off = Machine("small").run(), Machine("pef-off").run()
    assert (extends(on)[-1], extends(off)[-1]) == (
        record(b"\1").hex(),
        record(b"\0").hex(),
    )
    assert len(extends(on)) == len(extends(off)) == 5


def test_p51_an_operating_system_that_extends_1_itself_gains_nothing() -> None:
    good = Machine("small").run().pcr(6)
    machine = Machine("pef-off").run()
    command = client.pcr_extend(6, {TpmAlgId.SHA256: record(b"\1")})
    client.response(machine.board.tpm.execute(command))
    assert machine.pcr(6) != good
    assert machine.pcr(6) == chain(
        *(bytes.fromhex(each) for each in extends(Machine("pef-off").run())),
        record(b"\1"),
    )


@pytest.mark.breaks_invariants
def test_p51_an_opal_that_extends_nothing_is_detected(
    small: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opal, "measure", lambda *arguments: None)
    small.run()
    assert "complete_boot_measured_everything" in broken_invariants(small.journal)


def test_a_forged_pef_setting_breaks_an_invariant(small: Machine) -> None:
    small.run()
    forged = [
        replace(event, detail=event.detail | {"digest": record(b"\0").hex()})
        if event.detail.get("what") == "pef-enable"
        else event
        for event in small.journal
    ]
    assert "records_tell_the_truth" in broken_invariants(forged)
