"""pef tpm provision: make a TPM's index and keys, and give their public parts away."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pefstack.firmware.pef_objects import (
    NV_INDEX,
    PARENT,
    PROFILES,
    STORAGE_KEY,
    WRAPPING_KEY,
)
from pefstack.firmware.tpm_prepare import Provision
from pefstack.firmware.tpm_provision import Provisioned, ProvisionRefusal
from pefstack.hw.pef_spec import FIRST_INDEX, LAST_INDEX
from pefstack.tools.cli.app import NO, YES
from pefstack.tools.errors import UsageError
from pefstack.tools.files import write_bytes

DIGEST_SIZE: Final = 32
LAST_PCR: Final = 23
SUMMARY: Final = "make NV_Location_X, storage key and wrapping key, once"
_EPILOG: Final = """
What is there already is compared and left; a second run makes nothing. Passwords are
not touched: the machine's firmware sets new ones at every boot. Firmware closes the
platform hierarchy, so this comes before it, or at a TPM of its own.

examples:
  pef tpm provision --state tpm.state --pcr6 HEX --public storage.pub
  pef tpm provision --tpm swtpm:localhost:2321 --pcr6 HEX --json
  pef tpm provision --tpm dev:/dev/tpmrm0 --profile real    for what PCR 6 holds now

exit codes: 0 it is provisioned, 1 it can't be as it is, 2 wrong use, 3 malformed input
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionOptions:
    """The options of `pef tpm provision`."""

    state: Path | None
    seed: str | None
    tpm: str | None
    how: Provision
    replace: bool
    public: Path | None
    wrapping_public: Path | None
    wrapping_pem: Path | None
    json: bool


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    _add_target(parser)
    parser.add_argument(
        "--pcr6", type=_digest, metavar="HEX", help="what the PCR must hold; else now's"
    )
    parser.add_argument(
        "--pcr", type=_pcr, default=6, metavar="N", help="of the policy, 6 by default"
    )
    parser.add_argument(
        "--nv-index",
        type=_index,
        default=NV_INDEX,
        metavar="N",
        help=f"NV_Location_X, 0x{NV_INDEX:08x} by default",
    )
    parser.add_argument(
        "--profile", choices=PROFILES, default="strict", help="as machine.pef.provision"
    )
    parser.add_argument(
        "--replace", action="store_true", help="remove keys made for something else"
    )
    _add_outputs(parser)


def _add_target(parser: argparse.ArgumentParser) -> None:
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "--state", type=Path, metavar="FILE", help="a TPM of its own; made if missing"
    )
    target.add_argument(
        "--tpm",
        metavar="ADDRESS",
        help="another TPM: swtpm:HOST:PORT, mssim:HOST:PORT or dev:/dev/tpmrm0",
    )
    parser.add_argument("--seed", help="with --state: all randomness follows from it")


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    for option, what in (
        ("--public", "storage key, TPM2B_PUBLIC"),
        ("--wrapping-public", "wrapping key, TPM2B_PUBLIC"),
        ("--wrapping-pem", "wrapping key as PEM, for a lockbox"),
    ):
        parser.add_argument(option, type=Path, metavar="FILE", help=f"write: {what}")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Provision, print what there is, write what was asked for."""
    how = Provision(
        profile=options.profile,
        nv_index=options.nv_index,
        pcr=options.pcr,
        value=options.pcr6,
    )
    return _run(
        ProvisionOptions(
            state=options.state,
            seed=options.seed,
            tpm=options.tpm,
            how=how,
            replace=options.replace,
            public=options.public,
            wrapping_public=options.wrapping_public,
            wrapping_pem=options.wrapping_pem,
            json=options.json,
        )
    )


def _run(options: ProvisionOptions) -> int:
    try:
        done = _provisioned(options)
    except ProvisionRefusal as refused:
        _show_refusal(refused, as_json=options.json)
        return NO
    _write(done, options)
    if options.json:
        print(json.dumps(described(done, options.how)))
    else:
        print(*_lines(done, options.how), sep="\n")
    return YES


def _provisioned(options: ProvisionOptions) -> Provisioned:
    from pefstack.tools.provisioning import provision_address, provision_file

    if options.state is not None:
        path, seed = options.state, options.seed
        return provision_file(path, seed, options.how, again=options.replace)
    if options.seed is not None:
        raise UsageError("--seed goes with --state: another TPM has its own randomness")
    return provision_address(options.tpm or "", options.how, again=options.replace)


def _show_refusal(refused: ProvisionRefusal, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"refused": refused.reason, "mend": refused.mend}))
        return
    print(f"not provisioned: {refused.reason}", f"  to do  {refused.mend}", sep="\n")


def described(done: Provisioned, how: Provision) -> dict[str, Any]:
    """Everything that a customer needs to seal, and the public areas, in hex."""
    return {
        "profile": how.profile,
        "pcr": how.pcr,
        "value": done.value.hex(),
        "policy": done.policy.hex(),
        "nv_index": how.nv_index,
        "index_name": done.index_name.hex(),
        "storage_key": _key(STORAGE_KEY, done.storage_name, done.storage_public),
        "wrapping_key": _key(WRAPPING_KEY, done.wrapping_name, done.wrapping_public),
        "made": list(done.made),
    }


def _key(handle: int, name: bytes, public: bytes) -> dict[str, str | int]:
    return {"handle": handle, "name": name.hex(), "public": sized(public).hex()}


def _lines(done: Provisioned, how: Provision) -> list[str]:
    rows = (
        ("index", how.nv_index, done.index_name.hex()),
        ("parent", PARENT, ""),
        ("storage key", STORAGE_KEY, done.storage_name.hex()),
        ("wrapping key", WRAPPING_KEY, done.wrapping_name.hex()),
    )
    found = [
        f"{what:<13} 0x{at:08x}  {'made' if what in done.made else 'already'}"
        + (f"  {name}" if name else "")
        for what, at, name in rows
    ]
    policy = f"{'policy':<13} {done.policy.hex()}"
    return [*found, policy, f"{f'PCR {how.pcr}':<13} {done.value.hex()}"]


def _write(done: Provisioned, options: ProvisionOptions) -> None:
    if options.public is not None:
        write_bytes(options.public, sized(done.storage_public))
    if options.wrapping_public is not None:
        write_bytes(options.wrapping_public, sized(done.wrapping_public))
    if options.wrapping_pem is not None:
        from pefstack.tools.esm_sealing import public_pem

        write_bytes(options.wrapping_pem, public_pem(done.wrapping_public))


def sized(public: bytes) -> bytes:
    """TPM2B_PUBLIC, as ``tpm2_readpublic -f tss`` writes it."""
    return len(public).to_bytes(2, "big") + public


def _digest(text: str) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != DIGEST_SIZE:
        raise ValueError(text)
    return value


def _pcr(text: str) -> int:
    return _ranged(int(text), 0, LAST_PCR)


def _index(text: str) -> int:
    return _ranged(int(text, 0), FIRST_INDEX, LAST_INDEX)


def _ranged(number: int, least: int, most: int) -> int:
    if not least <= number <= most:
        raise ValueError(number)
    return number
