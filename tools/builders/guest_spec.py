"""What a guest is built of: the ``[image.guest]`` table of a machine file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pefstack.hw.mapping import SettingError, check_range
from pefstack.tools.builders.content_spec import ContentSpec

PLACES: Final = ("initramfs", "zimage", "none")
FORMATS: Final = ("v2", "v1")
MAX_SLOTS: Final = 64
ROOT_DISK: Final = "rootfs-passphrase"
_DIGEST_SIZE: Final = 32
_UINT32: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestImageSpec:
    """A kernel, an initramfs, and an ESM blob or operand that this machine opens.

    ``kernel`` is a file or filler in a vmlinux, ``initrd`` a file or filler in an
    archive. ``append`` is the command line that is measured. ``pcr_value``: what the
    boot policy's PCR must hold; empty is what this machine's firmware makes it.
    ``secret`` by name: attachments in ``v1``.
    """

    kernel: ContentSpec
    initrd: ContentSpec | None = None
    append: str = "svm=on"
    place: str = "initramfs"
    format: str = "v2"
    secret: dict[str, ContentSpec] = field(default_factory=dict)
    seed: str = "pefstack"
    slots: int = 8
    security_version: int = 0
    minimum_version: int = 0
    pcr_value: bytes = b""

    def __post_init__(self) -> None:
        _check_word("place", self.place, PLACES)
        _check_word("format", self.format, FORMATS)
        if "\0" in self.append:
            raise SettingError("append", "holds a NUL")
        check_range("slots", self.slots, MAX_SLOTS, least=1)
        check_range("security-version", self.security_version, _UINT32)
        check_range("minimum-version", self.minimum_version, _UINT32)
        if len(self.pcr_value) not in (0, _DIGEST_SIZE):
            found = f"found {len(self.pcr_value)} bytes, expected {_DIGEST_SIZE}"
            raise SettingError("pcr-value", found)
        if self.format == "v1" and (self.security_version or self.minimum_version):
            problem = "found a version, but format v1 has none"
            raise SettingError("format", problem)

    @property
    def is_sealed(self) -> bool:
        """Whether there is a blob or an operand, for this machine's TPM."""
        return self.place != "none"


def _check_word(key: str, found: str, there: tuple[str, ...]) -> None:
    if found not in there:
        raise SettingError(key, f"found {found!r}, expected {' or '.join(there)}")
