"""Command audit, commits, PCR group: as saved values and back (tpm.md 9)."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.codes import DIGEST_SIZE, MAX_DIGEST_SIZE, TpmCc
from pefstack.hw.tpm.command_audit import CommandAudit
from pefstack.hw.tpm.commits import WINDOW, Commits
from pefstack.hw.tpm.pcr_group import PcrGroup
from pefstack.hw.tpm.saved_record import Record, bad
from pefstack.hw.tpm.tagged import Value

_MAX_UINT64: Final = (1 << 64) - 1
_MAX_CODE: Final = max(TpmCc)


def save_command_audit(audit: CommandAudit) -> Value:
    """What is audited, and the digest so far, which lives on after Shutdown(STATE)."""
    return {
        "alg": audit.alg,
        "codes": sorted(audit.codes),
        "counter": audit.counter,
        "digest": audit.digest or b"",
    }


def restore_command_audit(record: Record) -> CommandAudit:
    """The audit of `save_command_audit`."""
    audit = CommandAudit()
    audit.alg = record.integer("alg", 0xFFFF)
    if audit.alg not in DIGEST_SIZE:
        raise bad("alg", f"0x{audit.alg:04x}", "a hash")
    audit.change_codes(record.integers("codes", len(TpmCc), _MAX_CODE), ())
    audit.counter = record.integer("counter", _MAX_UINT64)
    audit.digest = record.some_octets("digest", MAX_DIGEST_SIZE)
    record.check_end()
    return audit


def save_commits(commits: Commits) -> Value:
    """The count, and which commits are open."""
    return {"count": commits.count, "opened": sorted(commits.opened)}


def restore_commits(record: Record) -> Commits:
    """The commits of `save_commits`."""
    commits = Commits()
    commits.count = record.integer("count", _MAX_UINT64)
    opened = record.integers("opened", WINDOW, _MAX_UINT64)
    if any(each >= commits.count for each in opened):
        raise bad("opened", f"0x{max(opened):x}", f"below 0x{commits.count:x}")
    commits.opened = frozenset(opened)
    record.check_end()
    return commits


def save_pcr_group(group: PcrGroup) -> Value:
    """The policy, and the authValue, which lives on until Startup(CLEAR)."""
    return {
        "auth_value": group.auth_value,
        "policy_alg": group.policy_alg,
        "auth_policy": group.auth_policy,
    }


def restore_pcr_group(record: Record) -> PcrGroup:
    """The group of `save_pcr_group`."""
    group = PcrGroup()
    group.auth_value = record.some_octets("auth_value", MAX_DIGEST_SIZE)
    group.policy_alg, group.auth_policy = record.policy()
    record.check_end()
    return group
