"""`pef tpm serve` under the name and with the arguments of another TPM's program.

`python stand_in.py swtpm socket --server port=P …` or `… tpm_server -port P`. Suites
start a TPM by its name: `install` writes such a program into a folder for their PATH.
Each run is a new TPM; what the other program would keep in a folder is not kept.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Final

PROTOCOL: Final = {"swtpm": "swtpm", "tpm_server": "mssim"}
_PORT: Final = {
    "swtpm": r"--server(?: |=)\S*?\bport=(\d+)",
    "tpm_server": r"-port (\d+)",
}


def arguments(program: str, words: list[str]) -> list[str]:
    """Those of `pef`; ValueError without a port."""
    line = " ".join(words)
    port = re.search(_PORT[program], line)
    if port is None:
        raise ValueError(f"{program}: no port in {line!r}")
    made = ["tpm", "serve", f"--{PROTOCOL[program]}", port[1]]
    return [*made, "--startup-clear"] if "startup-clear" in line else made


def install(folder: Path, program: str) -> Path:
    """The program in a folder; it is one process, so that a kill ends it."""
    words = shlex.join((sys.executable, "-P", str(Path(__file__).resolve()), program))
    made = folder / program
    made.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    made.chmod(0o755)
    return made


def main(program: str, words: list[str]) -> int:
    """Serve until somebody ends it."""
    from pefstack.tools.cli.app import main as pef

    return pef(arguments(program, words))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
