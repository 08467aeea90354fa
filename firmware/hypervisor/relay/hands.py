"""The relay's own commands to the TPM: its own bytes, nothing of the client's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pefstack.firmware.hypervisor.relay.own_session import (
    AES_BITS,
    ALG,
    CONTINUE,
    NONCE_SIZE,
    OwnSession,
)
from pefstack.firmware.hypervisor.relay.protocol import Carrier
from pefstack.firmware.hypervisor.relay.wire import (
    RawCommand,
    SessionUse,
    handle_of,
    rc_of,
    sessions_of,
    sized_values,
)
from pefstack.hw.tpm.codes import TpmAlgId, TpmCap, TpmCc, TpmRh, TpmSe, TpmSu
from pefstack.hw.tpm.crypto import sessions
from pefstack.hw.tpm.crypto.stream import Stream
from pefstack.hw.tpm.response_codes import TpmRc
from pefstack.hw.tpm.selections import selection_bytes
from pefstack.hw.tpm.structures import put_tpm2b, put_uint8, put_uint16, put_uint32
from pefstack.hw.tpm.symmetric_def import Symmetric

EMPTY: Final = put_tpm2b(b"")
_AES: Final = Symmetric(alg=TpmAlgId.AES, key_bits=AES_BITS, mode=TpmAlgId.CFB)


class Hands:
    """What the relay does to the TPM itself.

    ``view``: whatever it has had in its hands. ``last``: the TPM's last answer to it.
    ``sessions``: those that it started and that may still be there, by handle.
    """

    __slots__ = ("last", "sessions", "stream", "tpm", "view")

    def __init__(self, tpm: Carrier, stream: Stream) -> None:
        self.tpm = tpm
        self.stream = stream
        self.view: list[bytes] = []
        self.last = b""
        self.sessions: dict[int, OwnSession] = {}

    def send(self, command: bytes) -> bytes:
        """Any command; a TPM in its self-test is asked again."""
        answer = self.tpm.execute(command)
        if rc_of(answer) == TpmRc.RETRY:
            answer = self.tpm.execute(command)
        self.view += command, answer
        self.last = answer
        return answer

    def carry(self, command: bytes) -> bytes:
        """A command of the ultravisor, changed or not."""
        answer = self.tpm.execute(command)
        self.view += command, answer
        return answer

    def plain(
        self, code: int, handles: Iterable[int] = (), parameters: bytes = b""
    ) -> bytes:
        """A command without sessions."""
        raw = RawCommand(code=code, handles=tuple(handles), parameters=parameters)
        return self.send(raw.to_bytes())

    def by_password(
        self,
        code: int,
        handles: Iterable[int],
        parameters: bytes = b"",
        password: bytes = b"",
    ) -> bytes:
        """Authorized by a password in clear, empty unless given."""
        return self.authorized(code, handles, SessionUse(hmac=password), parameters)

    def by_policy(
        self,
        code: int,
        handles: Iterable[int],
        policy: int,
        parameters: bytes = b"",
        hmac: bytes = b"",
    ) -> bytes:
        """Authorized by a policy session as it stands, with some HMAC."""
        nonce = self.stream.random_bytes(NONCE_SIZE)
        use = SessionUse(handle=policy, nonce=nonce, attributes=CONTINUE, hmac=hmac)
        return self.authorized(code, handles, use, parameters)

    def authorized(
        self, code: int, handles: Iterable[int], use: SessionUse, parameters: bytes
    ) -> bytes:
        """A command with one session."""
        raw = RawCommand(
            code=code, handles=tuple(handles), uses=(use,), parameters=parameters
        )
        return self.send(raw.to_bytes())

    def by_own(
        self,
        code: int,
        entity: tuple[int, bytes],
        policy: OwnSession,
        parameters: bytes = b"",
    ) -> bytes:
        """Authorized by a session whose key it has; ``entity``: handle and Name."""
        handle, name = entity
        nonce = self.stream.random_bytes(NONCE_SIZE)
        use = policy.use(code, name, parameters, nonce)
        answer = self.authorized(code, (handle,), use, parameters)
        if area := sessions_of(code, answer):
            (nonce_tpm,) = sized_values(area, 1)
            self.sessions[policy.handle] = policy.newer(nonce_tpm)
        return answer

    def start(
        self,
        kind: int = TpmSe.POLICY,
        *,
        salt_key: int = TpmRh.NULL,
        salt: bytes = b"",
        encrypted_salt: bytes = b"",
    ) -> OwnSession:
        """A session of its own, which takes the place of its earlier ones."""
        answer, nonce = self.start_raw(kind, salt_key, encrypted_salt)
        if rc_of(answer):
            return OwnSession()
        nonce_tpm = answer[16:]
        key = sessions.session_key(ALG, b"", salt, nonce_tpm, nonce)
        own = OwnSession(handle=handle_of(answer), key=key, nonce_tpm=nonce_tpm)
        self.sessions[own.handle] = own
        self.view.append(key)
        return own

    def start_raw(
        self, kind: int, salt_key: int, encrypted_salt: bytes
    ) -> tuple[bytes, bytes]:
        """The answer to StartAuthSession, and nonceCaller."""
        for handle in list(self.sessions):
            self.flush(handle)
        nonce = self.stream.random_bytes(NONCE_SIZE)
        body = put_tpm2b(nonce) + put_tpm2b(encrypted_salt) + put_uint8(kind)
        body += _AES.to_bytes() + put_uint16(ALG)
        handles = salt_key, int(TpmRh.NULL)
        return self.plain(TpmCc.START_AUTH_SESSION, handles, body), nonce

    def flush(self, handle: int) -> None:
        """FlushContext of anything, of whomever."""
        self.sessions.pop(handle, None)
        self.plain(TpmCc.FLUSH_CONTEXT, parameters=put_uint32(handle))

    def extend(self, pcr: int, digest: bytes) -> bytes:
        """PCR_Extend of a PCR that anybody may extend."""
        body = put_uint32(1) + put_uint16(ALG) + digest
        return self.by_password(TpmCc.PCR_EXTEND, (pcr,), body)

    def startup(self) -> bytes:
        """Startup(CLEAR)."""
        return self.plain(TpmCc.STARTUP, parameters=put_uint16(TpmSu.CLEAR))

    def handles(self, first: int, most: int) -> bytes:
        """GetCapability of the handles from one on."""
        words = int(TpmCap.HANDLES), first, most
        body = b"".join(put_uint32(word) for word in words)
        return self.plain(TpmCc.GET_CAPABILITY, parameters=body)

    def policy_pcr(self, policy: int, pcr: int) -> bytes:
        """PolicyPCR in any session."""
        body = EMPTY + selection_bytes({ALG: (pcr,)})
        return self.plain(TpmCc.POLICY_PCR, (policy,), body)

    def policy_secret(self, entity: int, policy: int, password: bytes) -> bytes:
        """PolicySecret in any session, by a password in clear."""
        handles, body = (entity, policy), EMPTY * 3 + put_uint32(0)
        return self.by_password(TpmCc.POLICY_SECRET, handles, body, password)
