"""Errors of the device layer: a device answered with an error code."""

from pefstack.images.errors import PefError


class DeviceError(PefError):
    """A device refused: which device, its code, and the code in words."""

    def __init__(self, device: str, code: int, meaning: str) -> None:
        super().__init__(device, code, meaning)
        self.device = device
        self.code = code
        self.meaning = meaning

    def __str__(self) -> str:
        return f"{self.device}: answered 0x{self.code:x} ({self.meaning})"
