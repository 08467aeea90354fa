"""Firmware's own talk with the TPM while nobody else can reach it (esm.md 4.1, 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from pefstack.hw.tpm import client
from pefstack.hw.tpm import client_calls as calls
from pefstack.hw.tpm.client import TpmError
from pefstack.hw.tpm.client_call import (
    Answer,
    Call,
    malformed,
    plain_answer,
    take_sized,
)
from pefstack.hw.tpm.client_salt import SALT_SIZE, SaltKey, hidden_salt
from pefstack.hw.tpm.client_session import (
    CONTINUE,
    EMPTY_PASSWORD,
    NONCE_SIZE,
    Authorization,
    ClientSession,
    Use,
    answer,
    command_bytes,
    start_call,
    started,
)
from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmAlgId, TpmaSession, TpmSe
from pefstack.hw.tpm.crypto.stream import Stream
from pefstack.hw.tpm.response_codes import RC_1, TpmRc

PASSWORD_SIZE: Final = 16
MAX_DRAWS: Final = 64  # a random source that gives zeros only is broken
_ABSENT: Final = TpmRc.HANDLE + RC_1  # the first handle: there is no such thing
_SECRETIVE: Final = CONTINUE | TpmaSession.DECRYPT


class Answering(Protocol):
    """Anything that answers commands: a TPM, or a service in front of one."""

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        """Answer one command."""
        ...


@dataclass(frozen=True, slots=True)
class TpmLink:
    """A TPM, and the processor's random numbers; `TpmError` when it refuses."""

    tpm: Answering
    random: Stream

    def plain(self, call: Call) -> Answer:
        """A command without sessions."""
        return plain_answer(call, self.tpm.execute(call.to_bytes()))

    def send(self, call: Call, *uses: Authorization) -> Answer:
        """A command with sessions; without any the empty password."""
        given: Sequence[Authorization] = uses or (EMPTY_PASSWORD,)
        return answer(call, self.tpm.execute(command_bytes(call, given)), given)

    def read_public(self, handle: int) -> bytes | None:
        """The TPMT_PUBLIC of a persistent object; None where there is none."""
        return self._read(calls.read_public((handle, b"")))

    def nv_read_public(self, index: int) -> bytes | None:
        """The TPMS_NV_PUBLIC of an index; None where there is none."""
        return self._read(calls.nv_read_public(index))

    def flush(self, handle: int) -> None:
        """FlushContext."""
        self.plain(calls.flush_context(handle))

    def use(self, session: ClientSession, attributes: int = CONTINUE) -> Use:
        """A session with a fresh nonce."""
        nonce = self.random.random_bytes(NONCE_SIZE)
        return Use(session=session, nonce_caller=nonce, attributes=attributes)

    def policy_session(self) -> ClientSession:
        """Unsalted and unbound: what it authorizes is not a secret."""
        nonce = self.random.random_bytes(NONCE_SIZE)
        raw = self.tpm.execute(start_call(TpmSe.POLICY, nonce).to_bytes())
        return started(TpmSe.POLICY, raw, nonce, b"")

    def secretive(self, handle: int, key: SaltKey) -> ClientSession:
        """An HMAC session salted to a key, to hide a parameter in."""
        salt = self.random.random_bytes(SALT_SIZE)
        padding = self.random.random_bytes(DIGEST_SIZE[TpmAlgId.SHA256])
        nonce = self.random.random_bytes(NONCE_SIZE)
        hidden = hidden_salt(key, salt, padding)
        call = start_call(TpmSe.HMAC, nonce, tpm_key=handle, encrypted_salt=hidden)
        return started(TpmSe.HMAC, self.tpm.execute(call.to_bytes()), nonce, salt)

    def send_secretly(
        self, call: Call, authorization: Authorization, hiding: ClientSession | None
    ) -> tuple[Answer, ClientSession | None]:
        """Send with the first parameter encrypted, where there is a session for it."""
        if hiding is None:
            return self.send(call, authorization), None
        found = self.send(call, authorization, self.use(hiding, _SECRETIVE))
        return found, replace(hiding, nonce_tpm=found.sessions[-1].nonce_tpm)

    def password(self, *, from_tpm: bool) -> bytes:
        """16 random bytes, zeros skipped; of the TPM, or of the processor.

        FormatError for a source that gives zeros only.
        """
        found = b""
        for _ in range(MAX_DRAWS):
            found += self._drawn(from_tpm).replace(b"\0", b"")
            if len(found) >= PASSWORD_SIZE:
                return found[:PASSWORD_SIZE]
        raise malformed("randomBytes", 12, "zeros", "random bytes")

    def _drawn(self, from_tpm: bool) -> bytes:
        if not from_tpm:
            return self.random.random_bytes(PASSWORD_SIZE)
        body = client.response(self.tpm.execute(client.get_random(PASSWORD_SIZE)))
        return client.random_bytes(body)

    def _read(self, call: Call) -> bytes | None:
        try:
            body = self.plain(call).body
        except TpmError as refused:
            if refused.code == _ABSENT:
                return None
            raise
        return take_sized(body, 0)[0]
