"""pef verify: check signatures, hashes, places; answer yes or no."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from pefstack.tools import image_cache
from pefstack.tools.cli.app import NO, YES
from pefstack.tools.errors import UsageError
from pefstack.tools.files import map_bytes
from pefstack.tools.machine_file import BUILT_IN, built_in_machines, find, load
from pefstack.tools.style import clean, paint
from pefstack.tools.verification.finding import Finding, Verification
from pefstack.tools.verification.verify_file import Asked, verify_bytes
from pefstack.tools.verification.verify_machine import verify_machine

_EPILOG: Final = """
FILE is a container (also behind ECC), a flash image or a SEEPROM image. MACHINE is a
built-in name, a machine file, or a folder that `pef build` made: everything that its
boot verifies is held against its fuses; nothing is booted.

examples:
  pef verify tampered-hbb                          a machine
  pef verify flash.bin --key-hash imprint          against the published test keys
  pef verify hbb.stb --min-version 2 --json | jq '.findings[].log'

exit codes: 0 every container verifies, 1 at least one does not, 2 wrong use,
3 malformed input
"""
_KEY_HASH: Final = re.compile("[0-9a-fA-F]{128}")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("target", metavar="TARGET", help="FILE or MACHINE, see below")
    parser.add_argument(
        "--key-hash",
        type=_key_hash,
        metavar="H",
        help="SHA-512 of the hardware keys, 128 hex digits, or `imprint`",
    )
    parser.add_argument(
        "--min-version",
        type=_version,
        metavar="N",
        help="minimum security version, 0 to 255",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Verify, print every finding; the exit code is the answer."""
    asked = Asked(key_hash=options.key_hash, minimum_version=options.min_version)
    found = _verified(options.target, asked)
    if options.json:
        print(json.dumps(_plain(found), indent=2))
    else:
        print(*_lines(found), sep="\n")
    return YES if found.good else NO


def _verified(target: str, asked: Asked) -> Verification:
    if not _is_machine(target):
        return verify_bytes(target, map_bytes(Path(target)), asked)
    if asked != Asked():
        raise UsageError(
            f"{target}: a machine's fuses have key hash and minimum version; "
            "--key-hash and --min-version are for files"
        )
    path = find(target)
    return verify_machine(image_cache.open_machine(path, load(path)))


def _is_machine(target: str) -> bool:
    """A name wins over a file that is called the same: that one is ``./NAME``."""
    path = Path(target)
    named = target in {each.stem for each in built_in_machines()}
    try:
        if named or path.suffix == ".toml" or path.is_dir():
            return True
        return path.name == target and not path.suffix and not path.exists()
    except OSError:  # a name that is too long: whoever opens it says so
        return False


def _key_hash(text: str) -> bytes:
    if text == "imprint":
        # loaded here: whoever gives digits needs no keys
        from pefstack.tools.builders.content import key_set
        from pefstack.tools.builders.spec import KeysSpec

        return key_set(KeysSpec(file=str(BUILT_IN / "keys" / text))).hw_key_hash
    if not _KEY_HASH.fullmatch(text):
        raise argparse.ArgumentTypeError("expected 128 hex digits, or imprint")
    return bytes.fromhex(text)


def _version(text: str) -> int:
    if not re.fullmatch("[0-9]{1,3}", text) or int(text) > 0xFF:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected 0 to 255")
    return int(text)


def _plain(found: Verification) -> dict[str, Any]:
    """As the dataclasses have it, log words as people read them."""
    plain = asdict(found)
    for each, finding in zip(plain["findings"], found.findings, strict=True):
        each["log"] = _log(finding)
    return plain


def _log(finding: Finding) -> str | None:
    return None if finding.log is None else f"0x{finding.log:016x}"


def _lines(found: Verification) -> Iterator[str]:
    yield paint(f"{clean(found.name)}: {found.format}", "strong")
    if found.key_hash:
        yield f"hardware key hash {found.key_hash}"
        yield f"  {found.keys}; minimum version {found.minimum_version}"
    else:
        yield f"{found.keys}; minimum version {found.minimum_version}"
    for name, value in found.settings.items():
        yield f"setting {name} {value}"
    for finding in found.findings:
        yield from _finding(finding, bool(found.key_hash))
    yield from found.notes
    yield _answer(found)


def _finding(finding: Finding, keys_checked: bool) -> Iterator[str]:
    """One line; more where something is wrong, or where nobody checked the keys."""
    yield _headline(finding)
    if not keys_checked and finding.key_hash:
        yield f"  own keys  {finding.key_hash}"
    if not finding.good:
        yield f"  refusal   {finding.refusal}, at 0x{finding.offset:x}"
        yield f"  check     {finding.check}"
        yield f"  found     {clean(finding.found)}"
        yield f"  expected  {clean(finding.expected)}"
        yield f"  to do     {finding.mend}"


def _headline(finding: Finding) -> str:
    word, style = ("good", "good") if finding.good else ("rejected", "bad")
    parts = [f"{paint(f'{word:<9}', style)} {clean(finding.place):<12}"]
    parts.append(f"{finding.rules} log {_log(finding) or 'none'}")
    if finding.stage:
        parts.append(finding.stage)
    if finding.security_version is not None:
        label = clean(finding.label) or "(none)"
        parts.append(f"label {label}, security version {finding.security_version}")
    if finding.payload:
        parts.append(f"signs as in profile {finding.payload}")
    return "  ".join(parts)


def _answer(found: Verification) -> str:
    count, bad = len(found.findings), sum(not each.good for each in found.findings)
    if not count:
        return "no container was verified"
    if bad:
        return paint(f"{bad} of {count} do not verify", "bad")
    return paint(f"all {count} verify", "good")
