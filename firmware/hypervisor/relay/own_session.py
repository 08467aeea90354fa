"""A session of the relay's own: it has the key, so it can do all that a client can."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from pefstack.firmware.hypervisor.relay.wire import (
    SessionUse,
    sized_values,
    take_sized,
)
from pefstack.hw.tpm.codes import TpmAlgId, TpmaSession
from pefstack.hw.tpm.crypto import hashes, sessions
from pefstack.hw.tpm.crypto.stream import Stream

NONCE_SIZE: Final = 32
ALG: Final = TpmAlgId.SHA256
AES_BITS: Final = 128
SALT_LABEL: Final = b"SECRET\0"
CONTINUE: Final = int(TpmaSession.CONTINUE_SESSION)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSession:
    """Handle 0 where the TPM refused to start it; an empty key makes no HMAC."""

    handle: int = 0
    key: bytes = field(default=b"", repr=False)
    nonce_tpm: bytes = b""

    def use(
        self, code: int, names: bytes, parameters: bytes, nonce: bytes
    ) -> SessionUse:
        """Authorize a command; ``names``: those of its handles, one after the other."""
        hmac = b""
        if self.key:
            cp_hash = hashes.cp_hash(ALG, code, names, parameters)
            nonces = nonce, self.nonce_tpm
            hmac = sessions.session_hmac(ALG, self.key, cp_hash, *nonces, CONTINUE)
        return SessionUse(
            handle=self.handle, nonce=nonce, attributes=CONTINUE, hmac=hmac
        )

    def newer(self, nonce_tpm: bytes) -> OwnSession:
        """After a command that it authorized."""
        return replace(self, nonce_tpm=nonce_tpm)


def hidden_for(modulus: bytes, salt: bytes, stream: Stream) -> bytes:
    """encryptedSalt for an RSA key with the usual exponent."""
    from pefstack.hw.tpm.crypto import rsa

    n = int.from_bytes(modulus, "big")
    return rsa.oaep_encrypt(n, rsa.DEFAULT_EXPONENT, ALG, SALT_LABEL, salt, stream)


def opened(
    parameters: bytes, area: bytes, nonce_caller: bytes, key: bytes = b""
) -> bytes:
    """The first parameter of an answer, decrypted with a key; FormatError if cut short.

    ``area``: the sessions of the answer, of which the first one encrypts.
    """
    (hidden,) = sized_values(parameters, 1)
    nonce_tpm, _ = take_sized(area, 0)
    nonces = nonce_tpm, nonce_caller
    return sessions.decrypt_parameter(ALG, AES_BITS, key, *nonces, hidden)
