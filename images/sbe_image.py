"""An SBE image for one machine: settings put in, containers checked (1.4, 1.6)."""

from __future__ import annotations

from pefstack.images.container import HEADER_SIZE
from pefstack.images.container_peek import security_version_of
from pefstack.images.container_verify import HBBL, SBE_FW, sbe_verify
from pefstack.images.errors import FormatError
from pefstack.images.hbbl_area import with_key_hash
from pefstack.images.sb_settings import SbSettings
from pefstack.images.sbe_payload import padded, sbe_fw_payload
from pefstack.images.xip import NAME, XipImage


def customised(image: XipImage, settings: SbSettings, *, power9: bool) -> XipImage:
    """The image with a machine's settings, or with its key hash alone on POWER9.

    Raises `FormatError` if it has no place for them.
    """
    if not power9:
        return image.with_section(".sb_settings", settings.to_bytes())
    area = with_key_hash(image.section(".hbbl"), settings.hw_key_hash)
    return image.with_section(".hbbl", area)


def security_version(image: XipImage) -> int:
    """What SBE_FW's header announces; `FormatError` if there is none."""
    return security_version_of(_header(image, ".sbh_firmware"))


def verify_sbe_image(image: XipImage, settings: SbSettings, *, patent: bool) -> None:
    """SBE_FW and HBBL by the rules of 1.4, as a boot with these settings will.

    Raises `VerificationError` for the first check that fails, `FormatError` for a
    section that is absent or has another size.
    """
    firmware = sbe_fw_payload(image, patent=patent)
    hbbl = padded(image.section(".hbbl"))
    for name, payload, component in (
        (".sbh_firmware", firmware, SBE_FW),
        (".sbh_hbbl", hbbl, HBBL),
    ):
        sbe_verify(
            _header(image, name),
            payload,
            component,
            settings.hw_key_hash,
            settings.minimum_secure_version,
        )


def _header(image: XipImage, name: str) -> bytes:
    found = image.section(name)
    if len(found) != HEADER_SIZE:
        size, wanted = f"0x{len(found):x} bytes", f"0x{HEADER_SIZE:x} bytes"
        raise FormatError(NAME, name, image.offset(name), size, wanted)
    return found
