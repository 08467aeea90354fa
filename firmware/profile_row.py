"""One row of a measurement profile's table."""

from __future__ import annotations

from typing import Final

POLICY: Final = -1  # the PCR of the boot policy: 6, unless the machine says another
SEPARATED: Final = -2  # PCRs 0 to 7 but the boot policy's

# stage, what is measured, PCR, event type, event data
Row = tuple[str, str, int, int, bytes]
