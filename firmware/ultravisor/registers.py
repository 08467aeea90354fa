"""Ultra-calls on registers that the hypervisor may not set by itself (esm.md 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pefstack.firmware.ultravisor.codes import UvStatus
from pefstack.hw.chip import (
    CBS_CONTROL,
    MEASUREMENT,
    MEASUREMENT_COUNT,
    SECURITY_SWITCH,
    SECURITY_SWITCH_CLEAR,
)
from pefstack.hw.errors import DeviceError

if TYPE_CHECKING:
    from pefstack.firmware.ultravisor.ultravisor import Ultravisor

DAWR, DAWRX, CIABR, LDBAR, IMC = 0xB4, 0xBC, 0xBB, 0x352, 0x31F
WRITABLE: Final = frozenset({DAWR, DAWRX, CIABR, LDBAR, IMC})
READABLE: Final = frozenset({DAWR, DAWRX, CIABR})
XSCOM_ADDRESS_ERROR: Final = -26
# what the chain of trust stands on; project decision
PROTECTED: Final = frozenset(
    {
        CBS_CONTROL,
        SECURITY_SWITCH,
        SECURITY_SWITCH_CLEAR,
        *range(MEASUREMENT, MEASUREMENT + MEASUREMENT_COUNT),
    }
)
Answer = tuple[int, ...]


def write_pate(uv: Ultravisor, lpid: int, dw0: int, dw1: int) -> Answer:
    """Always 0; of a VM with a record the first word stays the ultravisor's own."""
    if lpid in uv.svms:
        dw0 = uv.pates.get(lpid, (0, 0))[0]
    uv.pates[lpid] = dw0, dw1
    return (UvStatus.SUCCESS,)


def write_spr(uv: Ultravisor, number: int, value: int) -> Answer:
    """U_PARAMETER for a register that is not among the restricted ones."""
    if number not in WRITABLE:
        return (UvStatus.PARAMETER,)
    uv.sprs[number] = value
    return (UvStatus.SUCCESS,)


def read_spr(uv: Ultravisor, number: int) -> Answer:
    """The value comes in r5."""
    if number not in READABLE:
        return (UvStatus.PARAMETER,)
    return (UvStatus.SUCCESS, number, uv.sprs.get(number, 0))


def read_scom(uv: Ultravisor, chip: int, address: int) -> Answer:
    """The register in r4; U_PARAMETER for another chip, -26 where there is none."""
    if chip:
        return (UvStatus.PARAMETER,)
    try:
        return (UvStatus.SUCCESS, uv.chip.get_scom(address))
    except DeviceError:
        return (XSCOM_ADDRESS_ERROR,)


def write_scom(uv: Ultravisor, chip: int, address: int, value: int) -> Answer:
    """U_PERMISSION for the registers that secure boot stands on."""
    if chip:
        return (UvStatus.PARAMETER,)
    if address in PROTECTED:
        return (UvStatus.PERMISSION,)
    try:
        uv.chip.put_scom(address, value)
    except DeviceError:
        return (XSCOM_ADDRESS_ERROR,)
    return (UvStatus.SUCCESS,)
