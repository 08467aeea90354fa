"""How a wrap that does not open is refused: private areas, duplicates, credentials."""

from __future__ import annotations

from collections.abc import Callable

from pefstack.hw.tpm.codes import MAX_DIGEST_SIZE
from pefstack.hw.tpm.crypto.protection import IntegrityError
from pefstack.hw.tpm.response_codes import Refusal, TpmRc


def opened(unwrap: Callable[[bytes], bytes], blob: bytes) -> bytes:
    """What ``unwrap`` finds in the blob.

    TPM_RC_INTEGRITY where it is not the one that was wrapped; where its HMAC cannot
    even be read, TPM_RC_SIZE for one too long and TPM_RC_INSUFFICIENT.
    """
    try:
        return unwrap(blob)
    except IntegrityError:
        raise Refusal(TpmRc.INTEGRITY) from None
    except ValueError:
        too_long = int.from_bytes(blob[:2], "big") > MAX_DIGEST_SIZE
        raise Refusal(TpmRc.SIZE if too_long else TpmRc.INSUFFICIENT) from None
