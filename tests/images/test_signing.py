"""Signing: the references rebuilt, options, keys from PEM and seed, no secret shown."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

import rom_model
from container_matrix import BOOT_CHAIN, HW_KEY_HASH, KEYS, SOFTWARE_AT, put_bytes
from pefstack.images import container
from pefstack.images.container import ContainerHeader, component_id
from pefstack.images.container_verify import log_word
from pefstack.images.errors import FormatError
from pefstack.images.signing import (
    FileSigner,
    KeySet,
    SigningOptions,
    seeded_key_set,
    sign_header,
)
from strategies import U32, U64, imprint_keys

GOOD = BOOT_CHAIN / "containers" / "good"
REFERENCES = {
    "hbb-1sw.stb": SigningOptions(label="HBB", code_start_offset=0x180),
    "bootkernel-3sw.stb": SigningOptions(
        label="BOOTKERNEL", sw_key_count=3, security_version=7
    ),
}


@pytest.fixture(scope="module")
def keys() -> KeySet:
    return imprint_keys()


def with_signatures_of(reference: bytes, header: bytes) -> bytes:
    """The signatures of another header with as many keys, the only random fields."""
    count = reference[450]
    at = SOFTWARE_AT[count] + 98
    header = put_bytes(header, 524, reference[524:920])
    return put_bytes(header, at, reference[at : at + 132 * count])


@pytest.mark.parametrize("name", REFERENCES)
def test_references_are_rebuilt_byte_for_byte(keys: KeySet, name: str) -> None:
    reference = (GOOD / name).read_bytes()
    header = sign_header(reference[4096:], keys, REFERENCES[name])
    assert with_signatures_of(reference, header) == reference[:4096]
    assert header != reference[:4096]  # the reference's nonces are random
    assert log_word(header + reference[4096:], HW_KEY_HASH, 0) == 0x103


def test_two_builds_are_equal(keys: KeySet) -> None:
    options = SigningOptions(label="HBI", sw_key_count=2)
    headers = {sign_header(b"payload", imprint_keys(), options) for _ in range(2)}
    assert headers == {sign_header(b"payload", keys, options)}


@given(
    st.builds(
        SigningOptions,
        label=st.text(max_size=12),
        sw_key_count=st.integers(1, 3),
        code_start_offset=U64,
        security_version=st.integers(0, 255),
        hw_flags=U32,
        sw_flags=U32,
        target_hrmor=U64,
        stack_pointer=U64,
    ),
    st.binary(max_size=64),
    st.integers(0, 1 << 32),
)
def test_headers_say_what_was_asked(
    options: SigningOptions, payload: bytes, unprotected_size: int
) -> None:
    raw = sign_header(payload, imprint_keys(), options, unprotected_size)
    header = ContainerHeader.from_prefix(raw)
    hardware, prefix, software = header.hardware, header.prefix, header.software
    assert hardware.container_size == 4096 + len(payload) + unprotected_size
    assert hardware.target_hrmor == options.target_hrmor
    assert hardware.stack_pointer == options.stack_pointer
    assert (prefix.flags, software.flags) == (options.hw_flags, options.sw_flags)
    assert prefix.payload_size == 132 * options.sw_key_count
    assert software.code_start_offset == options.code_start_offset
    assert software.security_version == options.security_version
    assert software.payload_hash == hashlib.sha512(payload).digest()
    assert (prefix.code_start_offset, prefix.reserved, header.padding) == (0, 0, b"")
    code = rom_model.rom_code(raw + payload, HW_KEY_HASH, 0)
    assert code in (0, 0x73, 0x80)  # what an entry point may get wrong
    assert log_word(raw + payload, HW_KEY_HASH, 0) == rom_model.log_word(code)


@pytest.mark.parametrize("count", [-1, 0, 4])
def test_a_number_of_keys_that_nobody_takes_is_refused(
    keys: KeySet, count: int
) -> None:
    options = SigningOptions(label="HBB", sw_key_count=count)
    with pytest.raises(FormatError) as caught:
        sign_header(b"payload", keys, options)
    assert (caught.value.field, caught.value.offset) == ("sw_key_count", 450)
    assert caught.value.expected == "1 to 3"


def test_more_keys_than_there_are_is_refused(keys: KeySet) -> None:
    one = KeySet(hardware=keys.hardware, software=keys.software[:1])
    with pytest.raises(FormatError) as caught:
        sign_header(b"payload", one, SigningOptions(label="HBI", sw_key_count=3))
    assert (caught.value.field, caught.value.expected) == ("sw_key_count", "1 to 1")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (SigningOptions(label="HBB", security_version=256), "security_version"),
        (SigningOptions(label="HBB", code_start_offset=1 << 64), "code_start_offset"),
        (SigningOptions(label="HBB", hw_flags=-1), "flags"),
        (SigningOptions(label="HBB", sw_flags=1 << 32), "flags"),
        (SigningOptions(label="HBB", target_hrmor=1 << 64), "target_hrmor"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    keys: KeySet, options: SigningOptions, field: str
) -> None:
    with pytest.raises(FormatError) as caught:
        sign_header(b"payload", keys, options)
    assert (caught.value.format_name, caught.value.field) == (container.NAME, field)


@pytest.mark.parametrize(
    ("label", "raw"),
    [
        ("HBB", b"HBB\0\0\0\0\0"),
        ("BOOTKERNEL", b"BOOTKERN"),
        ("", bytes(8)),
        ("Übel", b"?bel\0\0\0\0"),
    ],
)
def test_component_id(label: str, raw: bytes) -> None:
    assert component_id(label) == raw


def test_hw_key_hash_of_the_imprint_keys(keys: KeySet) -> None:
    listed = (KEYS / "hw_keys_hash.txt").read_text()
    assert keys.hw_key_hash == HW_KEY_HASH
    assert keys.hw_key_hash.hex() in "".join(listed.split())


@pytest.mark.parametrize("name", ["hw_key_a", "hw_key_b", "hw_key_c"])
def test_explicit_parameters_are_refused_with_the_way_out(name: str) -> None:
    pem = (KEYS / "pem-original" / f"{name}.key").read_bytes()
    with pytest.raises(FormatError) as caught:
        FileSigner.from_pem(f"{name}.key", pem)
    assert (caught.value.format_name, caught.value.field) == (
        "private key",
        f"{name}.key",
    )
    assert "openssl ec -param_enc named_curve" in caught.value.expected


def test_the_published_key_with_its_warning_is_taken() -> None:
    pem = (KEYS / "pem-original" / "sw_key_p.key").read_bytes()
    raw = (KEYS / "raw" / "sw_key_p.bin").read_bytes()
    assert FileSigner.from_pem("sw_key_p", pem).public_key == raw


def pem_of(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes = b""
) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    )


def test_other_curves_are_refused() -> None:
    pem = pem_of(ec.derive_private_key(1, ec.SECP384R1()))
    with pytest.raises(FormatError) as caught:
        FileSigner.from_pem("wrong", pem)
    assert (caught.value.found, caught.value.expected) == (
        "another kind",
        "a P-521 key",
    )


def test_other_kinds_of_keys_are_refused() -> None:
    pem = pem_of(rsa.generate_private_key(65537, 1024))
    with pytest.raises(FormatError) as caught:
        FileSigner.from_pem("wrong", pem)
    assert caught.value.found == "another kind"


def test_a_key_with_a_password_is_refused() -> None:
    pem = pem_of(ec.derive_private_key(1, ec.SECP521R1()), b"secret")
    with pytest.raises(FormatError) as caught:
        FileSigner.from_pem("locked", pem)
    assert (caught.value.field, caught.value.offset) == ("locked", 0)
    assert "no password" in caught.value.expected


@pytest.mark.parametrize("name", ["hw_key_a.pub", "sw_key_p.pub"])
def test_a_public_key_does_not_sign(name: str) -> None:
    with pytest.raises(FormatError):
        FileSigner.from_pem(name, (KEYS / "pem-named-curve" / name).read_bytes())


PEM = (KEYS / "pem-named-curve" / "sw_key_q.key").read_bytes()


@given(st.integers(0, len(PEM)), st.binary(max_size=6), st.integers(0, len(PEM)))
def test_broken_pem_is_refused_politely(start: int, noise: bytes, end: int) -> None:
    with suppress(FormatError):
        FileSigner.from_pem("broken", PEM[:start] + noise + PEM[end:])


def test_seeded_keys_follow_from_seed_and_name() -> None:
    names = ("hw_key_a", "hw_key_b", "sw_key_p")
    made = {
        FileSigner.from_seed(name, seed).public_key
        for name in names
        for seed in ("one", "two")
    }
    assert len(made) == 6
    again = FileSigner.from_seed("hw_key_a", "one")
    assert again.public_key == FileSigner.from_seed("hw_key_a", "one").public_key


def test_a_seed_gives_a_whole_key_set() -> None:
    one, two = seeded_key_set("one"), seeded_key_set("two")
    public = {each.public_key for each in (*one.hardware, *one.software)}
    assert len(public) == 6
    assert one.hw_key_hash == seeded_key_set("one").hw_key_hash != two.hw_key_hash
    payload = b"payload"
    header = sign_header(payload, one, SigningOptions(label="HBI", sw_key_count=3))
    assert log_word(header + payload, one.hw_key_hash, 0) == 0x103
    assert log_word(header + payload, two.hw_key_hash, 0) == 0xFFFFFFFFFFFF8160


def private_number(path: Path) -> int:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.private_numbers().private_value


def test_no_private_number_is_shown(keys: KeySet) -> None:
    name = "hw_key_a"
    number = private_number(KEYS / "pem-named-curve" / f"{name}.key")
    signer = keys.hardware[0]
    for shown in (repr(signer), str(signer), repr(keys), f"{keys}"):
        assert str(number) not in shown
        assert f"{number:x}" not in shown.lower()
        assert number.to_bytes(66, "big").hex() not in shown.lower()
    assert not hasattr(signer, "__dict__")
