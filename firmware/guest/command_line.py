"""What the early boot reads in its command line.

``svm=`` as Linux's prom_init does, wherever it stands; ``pef.secrets=NAME,NAME`` is
this project's: the secrets to ask the ultravisor for.
"""

from __future__ import annotations

from typing import Final

# asked for when none is named: as machine files and as `pef esm build` call it
DEFAULT_NAMES: Final = ("rootfs-passphrase", "rootd")
SECRETS: Final = "pef.secrets="
MAX_NAME_SIZE: Final = 64  # what UV_ESMB_GET_FILE takes
MAX_NAME_COUNT: Final = 16
_SVM: Final = b"svm="
_ON: Final = (b"y", b"Y", b"1", b"on", b"oN", b"On", b"ON")


def asks_for_secure_mode(bootargs: bytes) -> bool:
    """Whether the first ``svm=`` is followed by y, 1 or on; what follows is free."""
    _, found, value = bootargs.partition(_SVM)
    return bool(found) and value.startswith(_ON)


def secret_names(bootargs: bytes) -> tuple[str, ...]:
    """The names after the last ``pef.secrets=``; `DEFAULT_NAMES` without one.

    At most `MAX_NAME_COUNT`; what is empty or longer than `MAX_NAME_SIZE` bytes is no
    name and left out.
    """
    words = bootargs.decode(errors="replace").split()
    lists = [each for each in words if each.startswith(SECRETS)]
    if not lists:
        return DEFAULT_NAMES
    names = lists[-1].removeprefix(SECRETS).split(",")
    good = (n for n in names if 0 < len(n.encode()) <= MAX_NAME_SIZE)
    return tuple(dict.fromkeys(good))[:MAX_NAME_COUNT]
