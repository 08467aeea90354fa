"""The processor chip as firmware sees it: SCOM, PVR, MSR (boot-chain.md 1.5)."""

from __future__ import annotations

from typing import Final

from pefstack.hw.errors import DeviceError

CBS_CONTROL: Final = 0x50001
SECURITY_SWITCH: Final = 0x10005
SECURITY_SWITCH_CLEAR: Final = 0x10006
MEASUREMENT: Final = 0x10010  # 16 registers of 8 bytes
MEASUREMENT_COUNT: Final = 16
SCRATCH_3: Final = 0x5003A  # mailbox, 32 bits in the high word: what the BMC asks for
SCRATCH_8: Final = 0x5003F  # mailbox: which of the others are valid
SCRATCH_11: Final = 0x50182

SAB: Final = 0x0800_0000_0000_0000  # CBS bit 4: secure access bit
SMD: Final = 0x0400_0000_0000_0000  # CBS bit 5: jumper; 1 asks for security OFF
SWITCH_SAB: Final = 0x8000_0000_0000_0000  # bit 0 of the switch register mirrors SAB
SWITCH_SUL: Final = 0x0800_0000_0000_0000  # bit 4: SBE update lock
SWITCH_TDP: Final = 0x0008_0000_0000_0000  # bit 12: TPM deconfigured
SECURITY_OFF_ASKED: Final = 0x0200_0000_0000_0000  # scratch 3 bit 6
SCRATCH_3_VALID: Final = 0x2000_0000_0000_0000  # scratch 8 bit 2

MSR_HV: Final = 0x1000_0000_0000_0000
MSR_S: Final = 0x0000_0000_0040_0000  # bit 41: secure state, there when PEF is enabled

_MASK: Final = (1 << 64) - 1
_MAILBOX: Final = (SCRATCH_3, SCRATCH_8)
_MEASUREMENTS: Final = range(MEASUREMENT, MEASUREMENT + MEASUREMENT_COUNT)
_PLAIN: Final = frozenset({SCRATCH_11, *_MAILBOX, *_MEASUREMENTS})


class Chip:
    """Registers of the master chip. SAB and its mirror are one bit in one place.

    ``jumper`` is the pin as it is set now, True for security off; it is sampled at a
    reset. ``scratch_3`` and ``scratch_8`` are the 32-bit words that the BMC leaves in
    the mailbox before a cold start.
    """

    __slots__ = (
        "_cbs",
        "_mailbox",
        "_plain",
        "_switch",
        "jumper",
        "memory_preserving",
        "node_id",
        "pef_enable",
        "pvr",
    )

    def __init__(
        self,
        *,
        smd: bool,
        pef_enable: bool,
        pvr: int,
        node_id: int,
        scratch_3: int = 0,
        scratch_8: int = 0,
    ) -> None:
        self.jumper = smd
        self.pef_enable: Final = pef_enable
        self.pvr: Final = pvr
        self.node_id: Final = node_id
        self._mailbox: Final = (scratch_3, scratch_8)
        self._cbs = self._switch = 0
        self._plain: dict[int, int] = {}
        self.memory_preserving = False
        self.reset()

    def reset(self, *, memory_preserving: bool = False) -> None:
        """Sample the jumper and clear what the last boot left.

        A memory-preserving one keeps SAB, the security switch and the mailbox
        (boot-chain.md 1.5; which registers stay is a project decision).
        """
        sab = self._cbs & SAB if memory_preserving else 0 if self.jumper else SAB
        self._cbs = (SMD if self.jumper else 0) | sab
        self.memory_preserving = memory_preserving
        if memory_preserving:
            self._plain = {each: self.get_scom(each) for each in _MAILBOX}
            return
        self._switch = 0
        words = zip(_MAILBOX, self._mailbox, strict=True)
        self._plain = {register: word << 32 for register, word in words}

    @property
    def smd(self) -> bool:
        """The sampled jumper: True asks for security off."""
        return bool(self._cbs & SMD)

    @property
    def secure(self) -> bool:
        """SAB: verification is enforced."""
        return bool(self._cbs & SAB)

    @property
    def update_locked(self) -> bool:
        """SUL: nobody writes SEEPROM or fuses any more until the next cold start."""
        return bool(self._switch & SWITCH_SUL)

    @property
    def msr(self) -> int:
        """Machine state when OPAL starts: HV, and S when PEF is enabled."""
        return MSR_HV | (MSR_S if self.pef_enable else 0)

    def get_scom(self, address: int) -> int:
        """The 64-bit register at a SCOM address; `DeviceError` if there is none."""
        if address == CBS_CONTROL:
            return self._cbs
        if address == SECURITY_SWITCH:
            return self._switch | (SWITCH_SAB if self.secure else 0)
        self._known(address)
        return self._plain.get(address, 0)

    def put_scom(self, address: int, value: int) -> None:
        """Write a register; the jumper stays, bits of the switch can only be set."""
        value &= _MASK
        if address == CBS_CONTROL:
            self._cbs = self._cbs & SMD | value & ~SMD & _MASK
        elif address == SECURITY_SWITCH:
            self._switch |= value & ~SWITCH_SAB
        elif address == SECURITY_SWITCH_CLEAR:
            self._switch &= ~value
        else:
            self._known(address)
            self._plain[address] = value

    def put_measurement(self, first: int, data: bytes) -> None:
        """Write measurement registers from number ``first``, 8 bytes each."""
        for at in range(0, len(data), 8):
            word = int.from_bytes(data[at : at + 8].ljust(8, b"\0"), "big")
            self.put_scom(MEASUREMENT + first + at // 8, word)

    def get_measurement(self, first: int, count: int) -> bytes:
        """The bytes of ``count`` measurement registers from number ``first``."""
        words = (self.get_scom(MEASUREMENT + first + n) for n in range(count))
        return b"".join(word.to_bytes(8, "big") for word in words)

    def fork(self) -> Chip:
        """The same registers, with a future of their own."""
        scratch_3, scratch_8 = self._mailbox
        other = Chip(
            smd=self.jumper,
            pef_enable=self.pef_enable,
            pvr=self.pvr,
            node_id=self.node_id,
            scratch_3=scratch_3,
            scratch_8=scratch_8,
        )
        other._cbs, other._switch = self._cbs, self._switch
        other.memory_preserving = self.memory_preserving
        other._plain = dict(self._plain)
        return other

    @staticmethod
    def _known(address: int) -> None:
        if address not in _PLAIN:
            raise DeviceError("chip", address, "no SCOM register at this address")
