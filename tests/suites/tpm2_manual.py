"""Run the examples of tpm2-tools' manual pages on our TPM and on a real swtpm.

    python tests/suites/tpm2_manual.py [PAGE ...]

The pages are those that the Debian package installed; nothing of them is kept here.
Each gets a new TPM and an empty folder. Every tool that a page runs must end on ours
as on swtpm: the same exit status, the same response code. Exit code 1 if not.
"""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent.parent))

from tpm2_tools_kit import Tools, tools_on

PAGES: Final = Path("/usr/share/man/man1")
BLOCK: Final = re.compile(r"^\\f\[C\]\n(.*?)^\\f\[R\]$", re.MULTILINE | re.DOTALL)
SECONDS: Final = 60
NAMES: Final = re.compile(r"[0-9a-f]{40,}")  # of keys: each TPM has its own
ELSEWHERE: Final = frozenset(["getekcertificate"])  # asks a server of the vendor
ESCAPES: Final = (
    (r"\[dq]", '"'),
    (r"\[rs]", "\\"),
    (r"\[aq]", "'"),
    (r"\[ti]", "~"),
    (r"\[ga]", "`"),
    (r"\[ha]", "^"),
    (r"\-", "-"),
    (r"\&", ""),
    (r"\ ", " "),
)
WRAPPER: Final = """#!/bin/bash
tool=${0##*/}
/usr/bin/$tool "$@" 2>"$LOG.err"
status=$?
code=$(grep -o '(0x[0-9A-F]*)' "$LOG.err" | tail -n 1)
echo "$tool $* : $status $code" >>"$LOG"
case $tool in
*_getcap | *_flushcontext | *_shutdown) ;;
*) /usr/bin/tpm2_flushcontext -t 2>/dev/null ;;
esac
exit $status
"""


def examples(page: Path) -> str:
    """The code of a page's examples, as a shell reads it."""
    text = gzip.decompress(page.read_bytes()).decode()
    _, _, text = text.partition("\n.SH EXAMPLES")
    code = "\n".join(BLOCK.findall(re.split(r"\n\.SH ", text)[0]))
    for escape, character in ESCAPES:
        code = code.replace("\\" + escape.lstrip("\\"), character)
    return code


def run(tools: Tools, code: str) -> list[str]:
    """Each tool the code ran, its exit status and response code."""
    programs = tools.folder / "programs"
    programs.mkdir()
    (programs / "tool").write_text(WRAPPER)
    (programs / "tool").chmod(0o700)
    for program in Path("/usr/bin").glob("tpm2*"):
        (programs / program.name).symlink_to("tool")
    log, work = tools.folder / "log", tools.folder / "work"
    work.mkdir()
    log.touch()
    subprocess.run(
        ["bash", "-c", code],
        cwd=work,
        env=tools.environment()
        | {"PATH": f"{programs}:{os.environ['PATH']}", "LOG": str(log)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=SECONDS,
        check=False,
    )
    return NAMES.sub("NAME", log.read_text(errors="replace")).splitlines()


def lines(tpm: str, code: str) -> list[str]:
    with tempfile.TemporaryDirectory() as folder, tools_on(tpm, Path(folder)) as tools:
        return run(tools, code)


def differences(code: str) -> tuple[list[str], list[str]]:
    """The tools that ran on swtpm, and where the two TPMs part."""
    ours, theirs = lines("swtpm", code), lines("reference", code)
    found = [
        f"  ours   {mine}\n  swtpm  {other}"
        for mine, other in zip(ours, theirs, strict=False)
        if mine != other
    ]
    if len(ours) != len(theirs):
        found.append(f"  ours ran {len(ours)} tools, swtpm {len(theirs)}")
    return theirs, found


def main(words: list[str]) -> int:
    names = {f"tpm2_{word.removeprefix('tpm2_')}.1.gz" for word in words}
    pages = total = well = different = 0
    for page in sorted(PAGES.glob("tpm2_*.1.gz")):
        name = page.name.removeprefix("tpm2_").removesuffix(".1.gz")
        if name in ELSEWHERE or (names and page.name not in names):
            continue
        if code := examples(page):
            ran, found = differences(code)
            pages, total, different = (
                pages + 1,
                total + len(ran),
                different + len(found),
            )
            well += sum(line.endswith(": 0 ") for line in ran)
            for line in (f"{name}:", *found) if found else ():
                print(line, flush=True)
    print(f"{pages} pages, {total} tools, {well} end well, {different} differences")
    return 1 if different or not pages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
