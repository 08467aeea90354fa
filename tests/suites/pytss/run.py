"""tpm2-pytss's own tests on another TPM and on ours: `python run.py [pytest words]`.

The sdist comes from PyPI and is built in an environment of its own in the cache folder;
that needs Debian's libtss2-dev, gcc, pkg-config and Python's headers. Every test is run
with swtpm (Debian), with our server in its place, and with our server in the place of
the Microsoft simulator. What passes on swtpm has to pass on ours: else exit code 1.
`python run.py --prepare` only makes the environment and prints its Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pefstack.tools.image_cache import cache_folder
from suites import stand_in

VERSION: Final = "3.0.0"
NEEDS: Final = ("pytest", "asn1crypto", "cryptography", "packaging", "pyyaml")
SECONDS: Final = 1800
KINDS: Final = ("swtpm", "ours by swtpm", "ours by mssim")


def folder() -> Path:
    """Where the environment and the tests are."""
    return cache_folder() / f"pytss-{VERSION}"


def prepare() -> Path:
    """The Python that has tpm2-pytss; made at first, and then there."""
    home, python = folder(), folder() / "venv" / "bin" / "python"
    ready = home / "ready"
    if ready.is_file():
        return python
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    source = f"tpm2-pytss=={VERSION}"
    subprocess.run([sys.executable, "-m", "venv", str(home / "venv")], check=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "install", source, *NEEDS], check=True)
    fetch = [
        *pip,
        "download",
        "--no-deps",
        "--no-binary",
        "tpm2-pytss",
        "-d",
        str(home),
    ]
    subprocess.run([*fetch, source], check=True)
    with tarfile.open(next(home.glob("*.tar.gz"))) as packed:
        packed.extractall(home, filter="data")
    ready.touch()
    return python


def path_of(kind: str, scratch: Path) -> str:
    """A PATH on which the tests find one TPM; they ask for swtpm first."""
    if kind == "swtpm":
        return os.environ["PATH"]
    program = "swtpm" if kind.endswith("swtpm") else "tpm_server"
    stand_in.install(scratch, program)
    return str(scratch)


def outcomes(kind: str, words: list[str]) -> dict[str, str]:
    """Each test, and whether it passed, failed or was skipped."""
    python = prepare()
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        subprocess.run(
            [
                *(python, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *(f"--junit-xml={report}", "--tb=short", *(words or ["test"])),
            ],
            cwd=next(folder().glob("tpm2_pytss-*/")),
            env=os.environ | {"PATH": path_of(kind, Path(scratch))},
            timeout=SECONDS,
            check=False,
        )
        cases = ElementTree.parse(report).iter("testcase")
        return {
            f"{each.get('classname')}::{each.get('name')}": _of(each) for each in cases
        }


def _of(case: ElementTree.Element) -> str:
    found = {each.tag for each in case} & {"failure", "error", "skipped"}
    return "passed" if not found else "skipped" if found == {"skipped"} else "failed"


def main(words: list[str]) -> int:
    """The figures of each TPM, and what passes on swtpm only."""
    if words == ["--prepare"]:
        print(prepare())
        return 0
    found = {kind: outcomes(kind, words) for kind in KINDS}
    for kind, each in found.items():
        counts = [
            f"{list(each.values()).count(word)} {word}"
            for word in ("passed", "failed", "skipped")
        ]
        print(f"{kind}: {', '.join(counts)}")
    worse = [
        f"{kind}: {name}"
        for kind in KINDS[1:]
        for name, outcome in found[kind].items()
        if outcome == "failed" and found[KINDS[0]][name] == "passed"
    ]
    print(*worse, sep="\n")
    return 1 if worse or not found[KINDS[0]] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
