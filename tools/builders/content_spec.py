"""Where bytes come from: a table of a machine file that stands for a content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pefstack.hw.mapping import SettingError, check_range

MAX_FILL_SIZE: Final = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentSpec:
    """Bytes: of a file, of a text, or ``fill`` bytes of filler that follow from a seed.

    Filler stands where a real machine has code: nothing of it is executed. ``xz``
    compresses what there is, as PAYLOAD and UVISOR are in real flashes.
    """

    file: str = ""
    text: str = ""
    fill: int = 0
    seed: str = "pefstack"
    xz: bool = False

    def __post_init__(self) -> None:
        if (bool(self.file) + bool(self.text) + bool(self.fill)) != 1:
            raise SettingError("file", "give one of `file`, `text`, `fill`")
        check_range("fill", self.fill, MAX_FILL_SIZE)
