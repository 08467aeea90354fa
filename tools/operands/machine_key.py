"""The public area of a machine's key, from the files that TPM programs write."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.tools.errors import UsageError

MAX_SIZE: Final = 0x400
_PEM: Final = b"-----BEGIN"
_MEND: Final = "give what tpm2_readpublic -o writes, not a PEM file"


def public_area(raw: bytes) -> bytes:
    """The TPMT_PUBLIC of a file that holds it, or a TPM2B_PUBLIC.

    A PEM file has no Name, so a slot for it would be for no machine: `UsageError`, as
    for a file that is too long or neither. The area itself is not looked into.
    """
    if raw.startswith(_PEM):
        raise UsageError(f"key of the machine: no policy and no Name in it; {_MEND}")
    if len(raw) > MAX_SIZE:
        found = f"0x{len(raw):x} bytes, expected at most 0x{MAX_SIZE:x}"
        raise UsageError(f"key of the machine: found {found}")
    first = int.from_bytes(raw[:2], "big")
    if first == len(raw) - 2:
        return raw[2:]
    if first != TpmAlgId.RSA:
        text = f"found 0x{first:04x} at its start, expected an RSA key's public area"
        raise UsageError(f"key of the machine: {text}; {_MEND}")
    return raw
