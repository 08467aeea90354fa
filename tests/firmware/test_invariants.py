"""Each invariant has a forged journal that breaks it, and it alone."""

from __future__ import annotations

from typing import Final

import pytest

from pefstack import BootFailure, Event, Machine
from pefstack.firmware import invariants as inv
from pefstack.firmware import invariants_tpm as inv_tpm
from pefstack.firmware import invariants_trust as trust
from pefstack.firmware.invariants import INVARIANTS, Invariant
from pefstack.hw.journal import Detail

Row = tuple[str, str, Detail]

DIGEST: Final = "00" * 32
ON: Final[Row] = ("machine", "power-on", {"policy_pcr": 6, "smd": 0, "pef": 1})
ABROAD: Final[Row] = ("machine", "power-on", {**ON[2], "tpm": "foreign"})
TPM: Final[Row] = ("tpm", "startup", {"type": "clear"})


def forge(*rows: Row) -> list[Event]:
    """A journal with these events behind a power-on and a TPM start."""
    return [
        Event(seq=seq, source=source, kind=kind, detail=detail)
        for seq, (source, kind, detail) in enumerate(rows)
    ]


def start(stage: str) -> Row:
    return stage, "start", {}


def measured(stage: str, what: str, pcr: int = 0, digest: str = DIGEST) -> list[Row]:
    """A measurement and the extend that belongs to it."""
    detail: Detail = {"pcr": pcr, "what": what, "digest": digest}
    return [(stage, "measure", detail), extended(pcr, digest)]


def extended(pcr: int = 0, digest: str = DIGEST) -> Row:
    return "tpm", "extend", {"pcr": pcr, "bank": "sha256", "digest": digest}


def verified(stage: str, code: str, good: int = 1) -> Row:
    return stage, "verify", {"code": code, "good": good}


def hands_over(stage: str, to: str, code: str) -> Row:
    return stage, "hand-over", {"to": to, "code": code}


def modes(source: str, kind: str, secure: int = 1, trusted: int = 1) -> Row:
    return source, kind, {"secure": secure, "trusted": trusted}


def chip(number: int, code: str = "00") -> Row:
    detail: Detail = {"chip": number, "security": "00", "keys": "00", "code": code}
    return "hostboot_ext", "chip", detail


def poisoned(tpm: str, source: str, count: int = 8) -> list[Row]:
    """The announcement, and the extends of the first PCRs."""
    announced: Row = (source, "poison", {"tpm": tpm, "digest": DIGEST})
    rows = [(tpm, "extend", extended(pcr)[2]) for pcr in range(count)]
    return [announced, *rows]


def decided(secure: int, **changes: str | int) -> Row:
    """The decision of `sbe_mutable`; by itself all that can ask for security off."""
    detail: Detail = {
        "secure": secure,
        "override": 1,
        "scratch_3": "0x02000000",
        "scratch_8": "0x20000000",
        **changes,
    }
    return "sbe_mutable", "secure-mode", detail


def preserving(smd: int, sab: int) -> Row:
    """A memory-preserving IPL begins."""
    detail: Detail = {"policy_pcr": 6, "smd": smd, "sab": sab, "pef": 1, "mpipl": 1}
    return "machine", "power-on", detail


def changes_keys() -> Row:
    return "hostboot_ext", "key-transition", {"old": "", "new": ""}


FIRST: Final = start("sbe_immutable")
HDAT: Final = modes("hostboot_ext", "hdat")
LOADER: Final = [
    *measured("sbe_immutable", "sb-verification"),
    verified("sbe_immutable", "SBE_FW"),
    hands_over("sbe_immutable", "sbe_mutable", "SBE_FW"),
]
POLICY: Final = [
    *measured("sbe_immutable", "hw-key-hash", 6),
    *measured("sbe_immutable", "secure-jumper", 6),
    *measured("sbe_immutable", "sb-verification", 6),
    *measured("hostboot_ext", "policy-separator", 6),
]
LOCK: Final[Row] = ("hostboot_ext", "update-lock", {})
UPDATE: Final[Row] = ("hostboot_ext", "sbe-update", {"done": 1})
FAILED: Final[Row] = ("sbe_immutable", "boot-failure", {"refusal": "forged"})

FORGED: Final[dict[Invariant, list[Event]]] = {
    inv.measured_before_it_runs: forge(
        ON,
        TPM,
        FIRST,
        verified("sbe_immutable", "SBE_FW"),
        hands_over("sbe_immutable", "sbe_mutable", "SBE_FW"),
    ),
    inv.verified_before_it_runs: forge(
        ON,
        TPM,
        FIRST,
        *measured("sbe_immutable", "sb-verification"),
        hands_over("sbe_immutable", "sbe_mutable", "SBE_FW"),
    ),
    inv.rejected_code_never_runs: forge(
        ON, TPM, FIRST, verified("sbe_immutable", "HBBL", 0), *LOADER
    ),
    inv.refusal_is_the_last_word: forge(
        ON, TPM, FIRST, FAILED, *measured("sbe_immutable", "hbbl")
    ),
    inv.stages_start_when_handed_over: forge(ON, TPM, FIRST, *LOADER, start("opal")),
    inv.policy_pcr_in_order: forge(
        ON, TPM, FIRST, *measured("sbe_immutable", "secure-jumper", 6)
    ),
    inv.complete_boot_measured_everything: forge(
        ON, TPM, FIRST, *POLICY, ("opal", "boot-complete", {})
    ),
    inv_tpm.extends_are_announced: forge(ON, TPM, FIRST, extended(7)),
    inv.records_tell_the_truth: forge(
        ON,
        TPM,
        FIRST,
        *POLICY,
        HDAT,
        *measured("opal", "pef-enable", 6, "00" * 32),
    ),
    inv.tpm_starts_before_it_measures: forge(
        ON, FIRST, *measured("sbe_immutable", "hbbl")
    ),
    inv.hand_over_tells_the_truth: forge(
        ON, TPM, FIRST, modes("hostboot_ext", "hdat", secure=0)
    ),
    inv.opal_follows_the_hand_over: forge(
        ON, TPM, FIRST, HDAT, modes("opal", "device-tree", trusted=0)
    ),
    inv_tpm.secondary_chips_never_extend: forge(
        ON, TPM, FIRST, measured("chip1.sbe_mutable", "hbbl")[0]
    ),
    inv_tpm.chips_agree_or_tpm_is_poisoned: forge(
        ON, TPM, FIRST, chip(0), chip(1, "01"), *LOADER
    ),
    inv.foreign_tpm_is_no_witness: forge(ABROAD, TPM, FIRST),
    trust.secure_mode_by_the_table: forge(ON, TPM, FIRST, decided(0)),
    trust.memory_preserving_keeps_secure_mode: forge(ON, preserving(smd=0, sab=0)),
    trust.keys_change_by_two_verdicts: forge(
        ON, verified("hostboot_ext", "SBKT"), changes_keys()
    ),
    trust.updates_end_at_the_lock: forge(ON, LOCK, UPDATE),
}


@pytest.mark.parametrize("invariant", INVARIANTS)  # a new one without forgery: KeyError
def test_forged_journal_breaks_this_invariant_alone(invariant: Invariant) -> None:
    broken = [each for each in INVARIANTS if each(FORGED[invariant])]
    assert broken == [invariant]


def test_an_announced_extend_that_never_comes_is_noticed() -> None:
    announced = measured("sbe_immutable", "hbbl")[0]
    assert inv_tpm.extends_are_announced(forge(ON, TPM, FIRST, announced)) is not None
    other = extended(0, "11" * 32)
    assert inv_tpm.extends_are_announced(forge(ON, TPM, FIRST, announced, other))


def test_poisoning_is_eight_extends_of_the_tpm_that_it_names() -> None:
    announced = inv_tpm.extends_are_announced
    for tpm, source in (("tpm", "hostboot_ext"), ("backup-tpm", "chip1.hostboot_ext")):
        assert announced(forge(ON, TPM, FIRST, *poisoned(tpm, source))) is None
        short = forge(ON, TPM, FIRST, *poisoned(tpm, source, 7), FAILED)
        assert announced(short) is None  # a refusal is an answer too
        short = forge(ON, TPM, FIRST, *poisoned(tpm, source, 7), chip(0))
        assert announced(short) == short[3]
    wrong = forge(
        ON, TPM, FIRST, poisoned("tpm", "x")[0], poisoned("backup-tpm", "x")[1]
    )
    assert announced(wrong) == wrong[4]


def test_poisoning_covers_a_policy_pcr_of_the_machines_own() -> None:
    on: Row = ("machine", "power-on", ON[2] | {"policy_pcr": 10})
    rows = poisoned("tpm", "hostboot_ext")
    assert inv_tpm.extends_are_announced(forge(on, TPM, FIRST, *rows)) is not None
    assert not inv_tpm.extends_are_announced(forge(on, TPM, FIRST, *rows, extended(10)))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_chip_that_differs_needs_poisoning_of_the_primarys_tpm(number: int) -> None:
    chips = [chip(each, "01" if each == number else "00") for each in range(4)]
    judge = inv_tpm.chips_agree_or_tpm_is_poisoned
    assert judge(forge(ON, *chips, *LOADER)) is not None
    backup = poisoned("backup-tpm", "chip1.hostboot_ext")
    assert judge(forge(ON, *chips, *backup, *LOADER)) is not None
    lost: Row = ("chip1.sbe_immutable", "tpm-lost", {"step": 6, "reason": "forged"})
    assert judge(forge(ON, *chips, lost, *LOADER)) is not None
    assert judge(forge(ON, *chips, *poisoned("tpm", "hostboot_ext"), *LOADER)) is None
    lost = ("hostboot_ext", "tpm-lost", lost[2])
    assert judge(forge(ON, *chips, lost, *LOADER)) is None
    assert judge(forge(ON, *[chip(each) for each in range(4)], *LOADER)) is None


def test_a_bank_that_is_not_allocated_gets_no_extend() -> None:
    on: Row = ("machine", "power-on", ON[2] | {"banks": "sha1"})
    announced, extend = measured("sbe_immutable", "hbbl")
    judge = inv_tpm.extends_are_announced
    assert judge(forge(on, TPM, FIRST, announced, start("opal"))) is None
    assert judge(forge(on, TPM, FIRST, announced, extend)) is not None
    both: Row = (*announced[:2], announced[2] | {"digest_sha1": "00" * 20})
    sha1: Row = ("tpm", "extend", {"pcr": 0, "bank": "sha1", "digest": "00" * 20})
    assert judge(forge(on, TPM, FIRST, both, sha1)) is None
    assert judge(forge(on, TPM, FIRST, both, start("opal"))) is not None


@pytest.mark.parametrize("profile", ["patent", "p10"])
@pytest.mark.parametrize("banks", ['["sha1"]', '["sha384", "sha1"]', '["sha256"]'])
def test_invariants_hold_whatever_banks_are_allocated(profile: str, banks: str) -> None:
    settings = [f"machine.measure.profile={profile}", f"machine.tpm.allocated={banks}"]
    machine = Machine("small", settings=settings).run()
    assert inv.broken_invariants(machine.journal) == {}
    extends = [event for event in machine.journal if event.kind == "extend"]
    assert bool(extends) is ("sha256" in banks)


def test_a_machine_with_a_poisoned_tpm_is_not_trusted() -> None:
    judge, trusted = inv.hand_over_tells_the_truth, modes("hostboot_ext", "hdat")
    backup = poisoned("backup-tpm", "chip1.hostboot_ext")
    assert judge(forge(ON, TPM, FIRST, *backup, trusted)) is None
    primary = poisoned("tpm", "hostboot_ext")
    assert judge(forge(ON, TPM, FIRST, *primary, trusted)) is not None


def test_a_lost_backup_tpm_excuses_nothing() -> None:
    lost: Row = ("chip1.sbe_immutable", "tpm-lost", {"step": 6, "reason": "forged"})
    for invariant in (
        inv.measured_before_it_runs,
        inv.complete_boot_measured_everything,
        inv.tpm_starts_before_it_measures,
    ):
        rows = [(e.source, e.kind, e.detail) for e in FORGED[invariant]]
        assert invariant(forge(*rows[:1], lost, *rows[1:])) is not None


def test_a_machine_without_its_tpm_is_not_called_trusted() -> None:
    lost: Row = ("hostboot_ext", "tpm-lost", {"step": 0, "reason": "forged"})
    events = forge(ON, TPM, FIRST, lost, HDAT)
    assert inv.hand_over_tells_the_truth(events) is not None
    assert inv.hand_over_tells_the_truth(forge(ON, TPM, FIRST, HDAT, lost)) is None


def test_a_jumper_that_asks_for_security_off_is_handed_over() -> None:
    events = forge(switched_on(smd=1), TPM, FIRST, HDAT)
    assert inv.hand_over_tells_the_truth(events) is not None


@pytest.mark.parametrize("handed", [[], [modes("hostboot_ext", "hdat", trusted=0)]])
def test_opal_measures_only_when_it_was_told_to(handed: list[Row]) -> None:
    events = forge(ON, TPM, FIRST, *handed, *measured("opal", "payload"))
    assert inv.opal_follows_the_hand_over(events) is not None


@pytest.mark.parametrize("whose", ["foreign", "foreign-running"])
def test_nobody_knows_what_a_foreign_tpm_did(whose: str) -> None:
    on: Row = ("machine", "power-on", {**ON[2], "banks": "", "tpm": whose})
    announced, extend = measured("sbe_immutable", "hbbl")
    assert inv.broken_invariants(forge(on, FIRST, announced)) == {}
    broken = inv.broken_invariants(forge(on, FIRST, announced, extend))
    assert {*broken} >= {"foreign_tpm_is_no_witness", "extends_are_announced"}
    model: Row = ("machine", "power-on", {**ON[2], "banks": "sha256"})
    broken = inv.broken_invariants(forge(model, TPM, FIRST, announced))
    assert {*broken} == {"extends_are_announced"}


def test_a_second_start_of_the_tpm_is_noticed() -> None:
    events = forge(ON, TPM, TPM, FIRST, *measured("sbe_immutable", "hbbl"))
    assert inv.tpm_starts_before_it_measures(events) is not None


def test_with_security_off_a_rejection_may_be_passed_over() -> None:
    off: Row = ("machine", "power-on", {"policy_pcr": 6, "smd": 1, "pef": 1})
    events = forge(off, TPM, FIRST, verified("sbe_immutable", "SBE_FW", 0), *LOADER)
    assert inv.broken_invariants(events) == {}


@pytest.mark.parametrize(
    "name",
    ["small", "jumper-off", "wrong-key", "tampered-hbb", "pef-off", "lab-override"],
)
def test_invariants_hold_on_built_in_machines(name: str) -> None:
    machine = Machine(name)
    try:
        machine.run()
    except BootFailure as failure:
        assert machine.journal[-1].detail["refusal"] == failure.refusal
    assert inv.broken_invariants(machine.journal) == {}


def switched_on(**settings: str | int) -> Row:
    detail: Detail = {"policy_pcr": 6, "smd": 0, "pef": 1, **settings}
    return "machine", "power-on", detail


@pytest.mark.parametrize("profile", ["p10", "p9"])
def test_real_machines_verify_everything_but_the_sbe(profile: str) -> None:
    events = forge(
        switched_on(profile=profile),
        start("hostboot_init"),
        hands_over("hostboot_init", "hostboot_ext", "HBI"),
    )
    assert inv.verified_before_it_runs(events) is not None


def test_power10_measures_before_it_runs_and_tells_the_jumper() -> None:
    on = switched_on(profile="p10")
    over = hands_over("sbe_immutable", "sbe_mutable", "SBE_FW")
    assert inv.measured_before_it_runs(forge(on, TPM, FIRST, over)) is not None
    lie = measured("sbe_immutable", "security-state", 6, "01" + "00" * 31)
    assert inv.records_tell_the_truth(forge(on, TPM, FIRST, *lie)) is not None


@pytest.mark.parametrize(
    ("policy", "source", "code", "offends"),
    [
        ("fail-closed", "sbe_mutable", "HBBL", True),
        ("record", "sbe_mutable", "HBBL", False),
        ("record", "hostboot_init", "HBI", True),
        ("record", "hostboot_ext", "HBBL", True),
        ("record-only", "hostboot_init", "HBI", False),
    ],
)
def test_a_policy_forgives_only_its_own(
    policy: str, source: str, code: str, offends: bool
) -> None:
    events = forge(
        switched_on(policy=policy),
        verified(source, code, 0),
        hands_over(source, "opal", "PAYLOAD"),
    )
    assert bool(inv.rejected_code_never_runs(events)) is offends


FIRMWARE: Final = verified("sbe_mutable", "SBE_FW")


@pytest.mark.parametrize(
    ("before", "decision", "offends"),
    [
        ([FIRMWARE], decided(0), False),
        ([FIRMWARE], decided(1), True),
        ([verified("sbe_mutable", "SBE_FW", 0)], decided(0), True),
        ([verified("sbe_mutable", "SBE_FW", 0)], decided(1, override=0), False),
        ([FIRMWARE], decided(0, override=0), True),
        ([FIRMWARE], decided(0, scratch_3="0x00000000"), True),
        ([FIRMWARE], decided(0, scratch_8="0x00000000"), True),
        ([FIRMWARE], decided(1, scratch_8="0x00000000"), False),
    ],
)
def test_the_table_of_secure_mode(
    before: list[Row], decision: Row, offends: bool
) -> None:
    events = forge(ON, *before, decision)
    assert (trust.secure_mode_by_the_table(events) is not None) is offends


@pytest.mark.parametrize(("smd", "sab"), [(1, 1), (0, 0)])
def test_a_cold_start_samples_the_jumper(smd: int, sab: int) -> None:
    assert trust.secure_mode_by_the_table(forge(switched_on(smd=smd, sab=sab)))


def test_the_jumper_and_the_boot_before_are_not_overruled() -> None:
    off = switched_on(smd=1, sab=0)
    assert trust.secure_mode_by_the_table(forge(off, decided(1))) is not None
    assert trust.secure_mode_by_the_table(forge(off, decided(0))) is None
    kept = preserving(smd=1, sab=1)
    assert trust.secure_mode_by_the_table(forge(kept, decided(1))) is None
    assert trust.secure_mode_by_the_table(forge(kept, FIRMWARE, decided(0))) is not None


def test_security_off_by_override_counts_from_the_decision_on() -> None:
    late = verified("hostboot_init", "HBI", 0)
    over = hands_over("hostboot_init", "hostboot_ext", "HBI")
    assert inv.rejected_code_never_runs(forge(ON, decided(0), late, over)) is None
    early = verified("sbe_immutable", "SBE_FW", 0)
    over = hands_over("sbe_immutable", "sbe_mutable", "SBE_FW")
    assert inv.rejected_code_never_runs(forge(ON, early, over, decided(0)))


def test_memory_preserving_is_asked_across_boots() -> None:
    first = [ON, FIRMWARE, decided(0)]
    good = forge(*first, preserving(smd=0, sab=0), decided(0))
    assert trust.memory_preserving_keeps_secure_mode(good) is None
    assert inv.broken_invariants(good) == {}
    bad = forge(*first, preserving(smd=0, sab=1))
    assert set(inv.broken_invariants(bad)) == {"memory_preserving_keeps_secure_mode"}


def test_each_boot_is_judged_by_itself() -> None:
    """Two starts of the TPM are one in each boot; a rejection is forgotten."""
    one = [ON, TPM, FIRST, *measured("sbe_immutable", "hw-key-hash", 6), FAILED]
    assert inv.broken_invariants(forge(*one, *one)) == {}
    broken = inv.broken_invariants(forge(*one, ON, *measured("sbe_immutable", "x")))
    assert "tpm_starts_before_it_measures" in broken


KEYS: Final = [
    verified("hostboot_ext", "SBKT"),
    verified("hostboot_ext", "SBKT nested"),
    changes_keys(),
]


def test_after_new_keys_nothing_runs() -> None:
    shut: Row = ("hostboot_ext", "shutdown", {"reason": "forged"})
    assert trust.keys_change_by_two_verdicts(forge(ON, *KEYS, shut)) is None
    over = hands_over("hostboot_ext", "opal", "PAYLOAD")
    assert trust.keys_change_by_two_verdicts(forge(ON, *KEYS, over)) is not None
    end: Row = ("hostboot_ext", "boot-complete", {})
    assert trust.keys_change_by_two_verdicts(forge(ON, *KEYS, end)) is not None
    rejected = [KEYS[0], verified("hostboot_ext", "SBKT nested", 0), KEYS[2]]
    assert trust.keys_change_by_two_verdicts(forge(ON, *rejected)) is not None
    after = forge(ON, TPM, FIRST, shut, verified("hostboot_ext", "PAYLOAD"))
    assert inv.refusal_is_the_last_word(after) is not None


def test_no_update_in_a_memory_preserving_ipl_and_no_opal_without_the_lock() -> None:
    again = preserving(smd=0, sab=1)
    assert trust.updates_end_at_the_lock(forge(again, UPDATE)) is not None
    assert trust.updates_end_at_the_lock(forge(again, changes_keys())) is not None
    over = hands_over("hostboot_ext", "opal", "PAYLOAD")
    assert trust.updates_end_at_the_lock(forge(ON, UPDATE, over)) is not None
    assert trust.updates_end_at_the_lock(forge(ON, UPDATE, LOCK, over)) is None
    off = switched_on(smd=1, sab=0)
    assert trust.updates_end_at_the_lock(forge(off, over)) is None


def test_what_a_secondary_chip_decides_is_its_own() -> None:
    other: Row = ("chip1.sbe_mutable", *decided(0)[1:])
    late = verified("hostboot_init", "HBI", 0)
    over = hands_over("hostboot_init", "hostboot_ext", "HBI")
    assert inv.rejected_code_never_runs(forge(ON, other, late, over)) is not None
    assert trust.secure_mode_by_the_table(forge(ON, other)) is None
    lock: Row = ("chip1.hostboot_ext", "update-lock", {})
    assert trust.updates_end_at_the_lock(forge(ON, lock, UPDATE)) is None
