"""The recorded PEF flow, command by command: our answers beside those of swtpm.

493 of 494 commands; the one left out was answered with RETRY and sent again. The nonces
of the other TPM are given to ours, so that its HMACs can be compared. What is masked is
named here; everything else is compared byte for byte.
"""

import sys

import pytest
from cryptography.exceptions import InvalidSignature

from tpm_recording import rows
from tpm_replay import Replay

MASKS = {
    "nonceTPM": "random; given to our TPM, which has to use it",
    "key material": "modulus, private area, context blob",
    "ticket": "HMAC under a secret of the TPM",
    "signature": "by a key of the TPM; verified by another library",
}
# other than recorded, but not masked: computed here from what is masked, or asked for
COMPUTED = {"Name", "qualified Name", "creationHash", "firmwareVersion"}


def test_the_recorded_flow(capsys: pytest.CaptureFixture[str]) -> None:
    replay = Replay()
    replay.run()
    masked = {name: replay.counts[name] for name in MASKS}
    compared = replay.total - sum(masked.values())
    with capsys.disabled():
        sys.stdout.write(f"\nbytes compared {compared}, bytes masked {masked}\n")
    assert set(replay.counts) == {*MASKS, *(f"{each} (computed)" for each in COMPUTED)}
    assert min(masked.values()) > 0
    assert compared > 25_000
    assert len(replay.answers) == len(rows()) - 1


@pytest.mark.parametrize(
    ("number", "place"),
    [
        (6, 20),  # a public area
        (22, -1),  # a PCR
        (48, -1),  # an HMAC under no password
        (85, -1),  # one under a password
        (98, 17),  # a ticket for nothing
        (106, 20),  # a key's attributes
        (106, -40),  # its Name
        (323, 9),  # a response code
        (397, 20),  # what was quoted
        (397, -100),  # the signature
    ],
)
def test_a_byte_that_is_not_masked_counts(number: int, place: int) -> None:
    replay = Replay(spoil=(number, place))
    with pytest.raises((AssertionError, InvalidSignature)):
        replay.run()
    assert len(replay.answers) <= number
