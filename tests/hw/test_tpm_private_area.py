"""Protected areas tell nothing of the length of an authValue (Part 1, 22.4)."""

import pytest

from tpm_kit import NULL, session, started
from tpm_objects import (
    FIXED,
    NO_DA,
    ORIGIN,
    RSASSA_SHA256,
    SIGN,
    USER,
    create,
    create_primary,
    ecc,
    keyed_hash,
    load,
    policy_session,
    rsa,
    send,
    two_b,
)

INTEGRITY, IV = 2 + 32, 2 + 16  # of a private area below a parent with SHA-256
TYPE = 2
SIGNER = SIGN | ORIGIN | USER | NO_DA


def two_b_size(size: int) -> int:
    return 2 + size


@pytest.mark.parametrize(
    ("template", "sizes"),
    [
        (rsa(SIGNER | FIXED, b"\0\x10", RSASSA_SHA256, bits=2048), (32, 0, 128)),
        (ecc(SIGNER | FIXED, b"\0\x10"), (32, 0, 32)),
    ],
)
def test_private_areas_as_large_as_the_reference_makes_them(
    template: bytes, sizes: tuple[int, ...]
) -> None:
    """0xde bytes for RSA-2048, 0x7e for NIST P-256: libraries rely on it."""
    tpm, _, _ = started()
    parent = create_primary(tpm).handle
    wanted = INTEGRITY + IV + 2 + TYPE + sum(map(two_b_size, sizes))
    assert wanted == {128: 0xDE, 32: 0x7E}[sizes[-1]]
    for auth in (b"", b"x"):
        assert len(create(tpm, parent, template, auth=auth).sized(1)[0]) == wanted


@pytest.mark.parametrize("auth", [b"", b"x"])
def test_a_duplicate_is_padded_and_the_password_is_as_before(auth: bytes) -> None:
    tpm, _, _ = started()
    parent = create_primary(tpm).handle
    policy, digest = policy_session(tpm, 0x14B)
    template = keyed_hash(USER | NO_DA, policy=digest)
    made = create(tpm, parent, template, auth=auth, data=b"secret")
    private, public, _ = made.sized(2)
    handle = load(tpm, parent, private, public).handle
    area = session(policy, b"\1" * 16)
    answer = send(tpm, 0x14B, two_b() + b"\0\x10", handle, NULL, area=area)
    _, blob, _, rest = answer.sized(3)
    assert rest == b""
    assert blob[4:6] == b"\0\x20"
    assert blob[6:38] == auth.ljust(32, b"\0")
    params = two_b() + two_b(public) + two_b(blob) + two_b() + b"\0\x10"
    private = send(tpm, 0x156, params, parent).sized(1)[0]
    loaded = load(tpm, parent, private, public).handle
    area = session(auth=auth)
    assert send(tpm, 0x15E, b"", loaded, area=area).sized(1)[0] == b"secret"
