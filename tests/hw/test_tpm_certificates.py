"""CertifyX509: certificates that another library reads, and what swtpm answers."""

from __future__ import annotations

from functools import partial
from hashlib import sha256

import pytest
from cryptography import x509

from pefstack.hw.tpm import der
from pefstack.hw.tpm.engine import Tpm
from tpm_key_kit import (
    DECRYPT,
    SIGN,
    USER,
    Areas,
    ecc_areas,
    hmac_areas,
    put_in,
    rsa_areas,
    two,
)
from tpm_kit import EMPTY_PASSWORD, NULL, command, rc_of, refusal, started, whole_state

RSASSA, RSAPSS, ECDSA = "0014000b", "0016000b", "0018000b"
NAME = bytes.fromhex("30163114301206035504030c0b6c6f636b656420626f7865")[:24]
VALIDITY = bytes.fromhex(
    "301e170d3235303232333138333934325a170d3334313132333138333934325a"
)
ALGORITHM = bytes.fromhex("300d06092a864886f70d01010b0500")
USAGE, ATTRIBUTES = "0603551d0f0101ff", "06076781050a010101"
MAIN = SIGN | USER


def tagged(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    if len(content) < 0x100:
        return bytes((tag, 0x81, len(content))) + content
    return bytes((tag, 0x82)) + len(content).to_bytes(2, "big") + content


def sequence(*parts: bytes) -> bytes:
    return tagged(0x30, *parts)


def extension(which: bytes, bits: bytes, unused: int = 0) -> bytes:
    value = tagged(0x03, bytes((unused,)) + bits)
    return sequence(which, tagged(0x04, value))


def usage(*bits: int) -> bytes:
    """keyUsage with these bits of RFC 5280; all nine are written."""
    value = sum(1 << 15 - each for each in bits)
    return extension(bytes.fromhex(USAGE), value.to_bytes(2, "big"), 7)


def said(attributes: int) -> bytes:
    """The extension with a TPMA_OBJECT."""
    return extension(bytes.fromhex(ATTRIBUTES), attributes.to_bytes(4, "big"))


def extensions(*found: bytes) -> bytes:
    return tagged(0xA3, sequence(*found))


def given(*found: bytes, algorithm: bytes = b"") -> bytes:
    """partialCertificate."""
    listed = extensions(*(found or (usage(0),)))
    return sequence(algorithm, NAME, VALIDITY, NAME, listed)


def certify(
    tpm: Tpm,
    key: int,
    signer: int,
    certificate: bytes,
    scheme: str = RSASSA,
    reserved: bytes = b"",
) -> bytes:
    params = two(reserved) + bytes.fromhex(scheme) + two(certificate)
    area = EMPTY_PASSWORD * 2
    return tpm.execute(command(0x197, params, handles=(key, signer), area=area))


def taken_apart(answer: bytes) -> tuple[bytes, bytes, bytes]:
    """addedToCertificate, tbsDigest, and the signature as X.509 has it."""
    assert rc_of(answer) == 0, hex(rc_of(answer))
    rest, found = answer[14:], []
    for _ in range(2):
        end = 2 + int.from_bytes(rest[:2], "big")
        found.append(rest[2:end])
        rest = rest[end:]
    size = int.from_bytes(rest[4:6], "big")
    first, rest, scheme = rest[6 : 6 + size], rest[6 + size :], rest[:2]
    if scheme.hex() != ECDSA[:4]:
        return found[0], found[1], first
    second = rest[2 : 2 + int.from_bytes(rest[:2], "big")]
    numbers = [
        tagged(0x02, b"\0" + each) if each[0] >> 7 else tagged(0x02, each)
        for each in (first, second)
    ]
    return found[0], found[1], sequence(*numbers)


def whole(partial_: bytes, answer: bytes) -> x509.Certificate:
    """The certificate, put together as Part 3 says, read by another library."""
    added, digest, signature = taken_apart(answer)
    [(_, inner, _)] = der.elements(added)
    own = [each for _, _, each in der.elements(inner)]
    [(_, inner, _)] = der.elements(partial_)
    theirs = [each for _, _, each in der.elements(inner)]
    if len(own) == 3:
        own.insert(2, theirs.pop(0))
    version, serial, algorithm, subject = own
    names, listed = theirs[:3], theirs[3]
    signed = sequence(version, serial, algorithm, *names, subject, listed)
    assert sha256(signed).digest() == digest
    bits = tagged(0x03, b"\0" + signature)
    return x509.load_der_x509_certificate(sequence(signed, algorithm, bits))


@pytest.mark.parametrize("key", [rsa_areas(), ecc_areas(), ecc_areas(curve=5)])
@pytest.mark.parametrize(
    ("signer", "scheme"),
    [(rsa_areas(), RSASSA), (rsa_areas(), RSAPSS), (ecc_areas(), ECDSA)],
)
def test_another_library_reads_and_verifies(
    key: Areas, signer: Areas, scheme: str
) -> None:
    tpm, _, _ = started()
    subject, by = put_in(tpm, key), put_in(tpm, signer)
    made = whole(given(), certify(tpm, subject, by, given(), scheme))
    issuer = whole(given(), certify(tpm, by, by, given(), scheme))
    made.verify_directly_issued_by(issuer)
    assert made.version is x509.Version.v3
    assert made.serial_number.bit_length() <= 160
    found = made.extensions.get_extension_for_class(x509.KeyUsage)
    assert found.value.digital_signature


def test_the_algorithm_of_the_caller() -> None:
    tpm, _, _ = started()
    key = put_in(tpm, rsa_areas())
    asked = given(algorithm=ALGORITHM)
    answer = certify(tpm, key, key, asked)
    assert ALGORITHM not in taken_apart(answer)[0]
    made = whole(asked, answer)
    made.verify_directly_issued_by(made)


@pytest.mark.parametrize("attributes", [0x00040040, 0x00040042])
def test_attributes_that_are_said(attributes: int) -> None:
    tpm, _, _ = started()
    key = put_in(tpm, rsa_areas())
    answer = certify(tpm, key, key, given(said(attributes), usage(0)))
    assert rc_of(answer) == (0 if attributes == MAIN else 0x282)


# by the reference, measured: which keyUsage needs which attribute
@pytest.mark.parametrize("bit", range(9))
@pytest.mark.parametrize("uses", [SIGN, DECRYPT, SIGN | DECRYPT])
def test_key_usage(bit: int, uses: int) -> None:
    tpm, _, _ = started()
    signer, key = put_in(tpm, rsa_areas()), put_in(tpm, rsa_areas(uses | USER))
    allowed: tuple[int, ...] = (0, 5, 6) if uses & SIGN else ()
    allowed += (2, 3, 7, 8) if uses & DECRYPT else ()
    answer = certify(tpm, key, signer, given(usage(bit)))
    assert rc_of(answer) == (0 if bit in allowed else 0x3C4)


@pytest.mark.parametrize(
    ("certificate", "rc"),
    [
        (b"", 0x3C4),
        (given()[:-1], 0x3D5),
        (given() + b"\0", 0x3D5),
        (b"\x31" + given()[1:], 0x3D5),
        (b"\x3f" + given()[1:], 0x3D5),
        (sequence(NAME, VALIDITY, extensions(usage(0))), 0x3C4),
        (sequence(*[NAME] * 5, extensions(usage(0))), 0x3C4),
        (sequence(NAME, VALIDITY, NAME), 0x3C4),
        (sequence(NAME, VALIDITY, NAME, *[extensions(usage(0))] * 2), 0x3C4),
        (sequence(NAME, VALIDITY, NAME, b"\2\1\1", extensions(usage(0))), 0x3C4),
        (sequence(NAME, VALIDITY, NAME, extensions()), 0x3C4),
        (sequence(NAME, VALIDITY, NAME, tagged(0xA3, b"\2\1\1")), 0x3C4),
        (sequence(NAME, VALIDITY, NAME, tagged(0xA3)), 0x3C4),
        (given(extension(bytes.fromhex(USAGE), b"\x80\0\0", 0)[:-1] + b"\1"), 0x3E1),
    ],
)
def test_certificates_that_are_refused(certificate: bytes, rc: int) -> None:
    tpm, _, _ = started()
    key = put_in(tpm, rsa_areas())
    assert rc_of(certify(tpm, key, key, given())) == 0
    before = whole_state(tpm)
    assert certify(tpm, key, key, certificate) == refusal(rc)
    assert whole_state(tpm) == before


def test_keys_and_schemes_that_are_refused() -> None:
    tpm, _, _ = started()
    key, mac = put_in(tpm, rsa_areas()), put_in(tpm, hmac_areas())
    decrypts = put_in(tpm, rsa_areas(DECRYPT | USER))
    ask = partial(certify, tpm)
    assert rc_of(ask(key, key, given())) == 0
    before = whole_state(tpm)
    assert ask(key, key, given(), reserved=b"x") == refusal(0x1D5)
    assert ask(key, decrypts, given()) == refusal(0x19C)
    assert ask(key, NULL, given()) == refusal(0x19C)
    assert ask(key, key, given(), ECDSA) == refusal(0x2D2)
    assert ask(mac, key, given()) == refusal(0x281)
    assert ask(key, mac, given(), "0010") == refusal(0x192)
    assert whole_state(tpm) == before
