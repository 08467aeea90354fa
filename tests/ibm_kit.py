"""Steps of IBM's programs, on our servers and on swtpm, held against each other.

tests/suites/ibm/*.steps: a step a line, in order, each scenario on TPMs of its own.

    create -hp 80000000 -si …        a program without its prefix tss; it must succeed
    load … -> 98e                    it must fail with this response code
    getcapability … -> tss           it must fail by itself, whatever the TPM says
    = pcrread -ha 16 -ns             … and print the same on every TPM
    same FILE                        a file it made has the same bytes on every TPM
    equal A B, differ A B            two files
    text FILE WORDS, hex FILE HEX    make a file
    flip FILE                        change the last byte
    slice FILE FROM SIZE TO          a part of a file
    sha256 FROM TO                   the digest of a file
    name PUBLIC TO                   the Name of a TPM2B_PUBLIC with a SHA-256 nameAlg
    openssl …                        must succeed
    send HEX                         a command past the programs
    power                            off and on; the next Startup is a step of its own
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from interop import need
from pefstack.tools.tpm_backends.mssim import MssimTpm
from pefstack.tools.tpm_backends.swtpm import SwtpmTpm
from tpm_kit import rc_of
from tpm_server_kit import Client

SECONDS: Final = 60
RC: Final = re.compile(r"failed, rc ([0-9a-f]{8})")
TSS_RC_LAYER: Final = 0x000B0000  # the response codes of the library itself
RETRY: Final = "922"  # the reference's, before it first counts guesses
SESSION_KEY: Final = "5a" * 16  # under which the library keeps sessions in files
INIT: Final = "0000000200000000"  # of swtpm's control channel


@dataclass(frozen=True, slots=True)
class Step:
    """A line of a scenario; ``expected`` is "ok", "tss" or a response code in hex."""

    line: int
    words: tuple[str, ...]
    expected: str
    same: bool


@dataclass(frozen=True, slots=True)
class Lane:
    """A TPM, and the folder where its client keeps its files."""

    name: str
    kind: str
    port: int
    folder: Path

    def in_folder(self) -> Lane:
        """The same with a folder below, made now."""
        folder = self.folder / self.name.replace(" ", "-")
        folder.mkdir()
        return replace(self, folder=folder)

    def run(self, step: Step) -> tuple[str, str]:
        """How a step ended, and what it printed."""
        verb, *words = step.words
        if verb in _VERBS:
            return self._do(_VERBS[verb], words)
        program = need("openssl" if verb == "openssl" else f"tss{verb}", "tss2")
        done = subprocess.run(
            (program, *words),
            cwd=self.folder,
            env=os.environ | self.settings(),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        shown = (done.stdout + done.stderr).decode("latin-1")
        end = _outcome(done.returncode, shown)
        return self.run(step) if end == RETRY else (end, shown)

    def _do(self, verb: Verb, words: list[str]) -> tuple[str, str]:
        try:
            return verb(self, *words)
        except FileNotFoundError as error:
            return f"no file {Path(error.filename).name}", ""

    def settings(self) -> dict[str, str]:
        """The environment of IBM's programs."""
        return {
            "TPM_INTERFACE_TYPE": "socsim",
            "TPM_SERVER_NAME": "127.0.0.1",
            "TPM_SERVER_TYPE": self.kind,
            "TPM_COMMAND_PORT": str(self.port),
            "TPM_PLATFORM_PORT": str(self.port + 1),
            "TPM_DATA_DIR": str(self.folder),
            "TPM_SESSION_ENCKEY": SESSION_KEY,
        }


def steps(path: Path) -> list[Step]:
    """The steps of a scenario."""
    lines = enumerate(path.read_text().splitlines(), 1)
    return [_step(number, text) for number, text in lines if text.split("#")[0].strip()]


def walk(path: Path, lanes: list[Lane], pool: Executor) -> list[str]:
    """What was not as expected, or not alike; each step on all TPMs at a time."""
    complaints = []
    for step in steps(path):
        ends = list(pool.map(lambda lane, step=step: lane.run(step), lanes))
        complaints += _judged(f"{path.name}:{step.line}", step, lanes, ends)
    return complaints


def _step(number: int, text: str) -> Step:
    told, _, expected = text.split("#")[0].partition("->")
    split = shlex.split(told)
    same = split[0] in ("=", "same")
    words = tuple(split[split[0] == "=" :])
    return Step(number, words, expected.strip() or "ok", same)


def _judged(
    where: str, step: Step, lanes: list[Lane], ends: list[tuple[str, str]]
) -> list[str]:
    found = [
        f"{where} {' '.join(step.words)}: {lane.name} {end}, not {step.expected}"
        for lane, (end, _) in zip(lanes, ends, strict=True)
        if end != step.expected
    ]
    if step.same and len({shown for _, shown in ends}) > 1:
        found.append(f"{where} {' '.join(step.words)}: {[text for _, text in ends]}")
    return found


def _outcome(code: int, shown: str) -> str:
    if code == 0:
        return "ok"
    found = RC.search(shown)
    if found is None or int(found[1], 16) & TSS_RC_LAYER == TSS_RC_LAYER:
        return "tss"
    return f"{int(found[1], 16):x}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


Verb = Callable[..., tuple[str, str]]
OK: Final = ("ok", "")


def _text(lane: Lane, name: str, *words: str) -> tuple[str, str]:
    (lane.folder / name).write_bytes(" ".join(words).encode())
    return OK


def _hex(lane: Lane, name: str, *digits: str) -> tuple[str, str]:
    (lane.folder / name).write_bytes(bytes.fromhex("".join(digits)))
    return OK


def _flip(lane: Lane, name: str) -> tuple[str, str]:
    raw = (lane.folder / name).read_bytes()
    (lane.folder / name).write_bytes(raw[:-1] + bytes((raw[-1] ^ 1,)))
    return OK


def _slice(
    lane: Lane, name: str, start: str, size: str, target: str
) -> tuple[str, str]:
    raw = (lane.folder / name).read_bytes()
    (lane.folder / target).write_bytes(raw[int(start) :][: int(size)])
    return OK


def _sha256(lane: Lane, name: str, target: str) -> tuple[str, str]:
    raw = (lane.folder / name).read_bytes()
    (lane.folder / target).write_bytes(hashlib.sha256(raw).digest())
    return OK


def _name(lane: Lane, public: str, target: str) -> tuple[str, str]:
    raw = (lane.folder / public).read_bytes()[2:]
    digest = hashlib.sha256(raw).digest()
    (lane.folder / target).write_bytes(b"\0\x0b" + digest)
    return OK


def _same(lane: Lane, name: str) -> tuple[str, str]:
    return "ok", _digest(lane.folder / name)


def _equal(lane: Lane, one: str, two: str) -> tuple[str, str]:
    alike = _digest(lane.folder / one) == _digest(lane.folder / two)
    return ("ok" if alike else "differs"), ""


def _differ(lane: Lane, one: str, two: str) -> tuple[str, str]:
    return ("ok" if _equal(lane, one, two)[0] == "differs" else "equal"), ""


def _send(lane: Lane, *digits: str) -> tuple[str, str]:
    kind = MssimTpm if lane.kind == "mssim" else SwtpmTpm
    response = kind("127.0.0.1", lane.port).execute(bytes.fromhex("".join(digits)))
    code = rc_of(response)
    return (f"{code:x}" if code else "ok"), response.hex()


def _power(lane: Lane) -> tuple[str, str]:
    if lane.kind == "mssim":
        program = need("tsspowerup", "tss2")
        subprocess.run(
            (program,), env=os.environ | lane.settings(), check=True, timeout=SECONDS
        )
        return OK
    with Client(lane.port + 1) as control:
        return ("ok" if control.ask(INIT, 4) == "00000000" else "no power"), ""


_VERBS: Final[dict[str, Verb]] = {
    "text": _text,
    "hex": _hex,
    "flip": _flip,
    "slice": _slice,
    "sha256": _sha256,
    "name": _name,
    "same": _same,
    "equal": _equal,
    "differ": _differ,
    "send": _send,
    "power": _power,
}
