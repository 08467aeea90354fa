"""The client: literal command bytes, and responses good and bad."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.hw.tpm import client
from pefstack.hw.tpm.client import TpmError
from pefstack.hw.tpm.codes import TpmAlgId, TpmCap, TpmSu
from pefstack.hw.tpm.selections import (
    selection_bytes,
    selection_from_prefix,
    without,
)
from pefstack.images.errors import FormatError
from tpm_kit import (
    ALL_BANKS,
    SHA1,
    SHA256,
    SHA384,
    capability,
    command,
    extend,
    refusal,
    selections,
    session,
    started,
    vector,
)

SBE = vector("sbe-tpm-commands.json")
READERS: list[Callable[[bytes], Any]] = [
    client.response,
    client.random_bytes,
    client.pcr_values,
    client.capability,
    client.allocated_banks,
    client.allocation_result,
]
PCRS_24 = tuple(range(24))
all_selections = st.dictionaries(
    st.sampled_from(ALL_BANKS),
    st.sets(st.integers(0, 23)).map(lambda pcrs: tuple(sorted(pcrs))),
)


def pcr_values_body(
    selection: dict[int, tuple[int, ...]], digests: list[bytes]
) -> bytes:
    """The parameters of PCR_Read."""
    items = b"".join(len(each).to_bytes(2, "big") + each for each in digests)
    count = len(digests).to_bytes(4, "big")
    return b"\0\0\0\x07" + selection_bytes(selection) + count + items


def test_commands_of_the_sbe() -> None:
    banks = {TpmAlgId.SHA1: (), TpmAlgId.SHA256: PCRS_24, TpmAlgId.SHA384: ()}
    assert client.startup().hex() == SBE["startup_clear"]
    assert client.get_capability(TpmCap.PCRS, 0, 64).hex() == SBE["get_cap_pcrs"]
    assert client.pcr_allocate(banks).hex() == SBE["pcr_allocate"]
    assert client.get_random(32).hex() == SBE["get_random_32"]
    digest = bytes(range(32))
    template = SBE["pcr_extend_template"].replace("<32bytedigest>", digest.hex())
    for pcr in range(24):
        expected = template.replace("PP", f"{pcr:02x}")
        assert client.pcr_extend(pcr, {TpmAlgId.SHA256: digest}).hex() == expected


def test_other_commands() -> None:
    assert client.startup(TpmSu.STATE).hex() == "80010000000c000001440001"
    assert client.shutdown().hex() == "80010000000c000001450000"
    assert client.shutdown(TpmSu.STATE).hex() == "80010000000c000001450001"
    assert client.self_test().hex() == "80010000000b0000014301"
    assert client.self_test(full=False).hex() == "80010000000b0000014300"
    assert client.get_capability(6, 0x100, 3) == capability(6, 0x100, 3)
    chain = vector("formulas.json")["pcr"]
    assert client.pcr_read({TpmAlgId.SHA256: (6,)}).hex() == chain["read_command"]


def test_extend_of_two_banks() -> None:
    digests = {TpmAlgId.SHA1: b"\1" * 20, TpmAlgId.SHA256: b"\2" * 32}
    expected = extend(5, (SHA1, b"\1" * 20), (SHA256, b"\2" * 32))
    assert client.pcr_extend(5, digests) == expected


def test_password_of_the_platform() -> None:
    area = session(auth=b"pw")
    expected = command(0x12B, bytes(4), handles=(0x4000000C,), area=area)
    assert client.pcr_allocate({}, password=b"pw") == expected


@pytest.mark.parametrize("size", [0, 31, 33])
def test_extend_with_a_wrong_size(size: int) -> None:
    with pytest.raises(ValueError, match="bytes for bank 0x000b"):
        client.pcr_extend(6, {TpmAlgId.SHA256: bytes(size)})


def test_talk_with_the_tpm() -> None:
    tpm, _, _ = started()

    def ask(raw: bytes) -> bytes:
        return client.response(tpm.execute(raw))

    assert ask(client.self_test()) == b""
    assert ask(client.pcr_extend(6, {TpmAlgId.SHA256: bytes(32)})) == b""
    assert len(client.random_bytes(ask(client.get_random(16)))) == 16
    raw = ask(client.get_capability(TpmCap.PCRS, 0, 64))
    assert client.allocated_banks(raw) == {SHA1: (), SHA256: PCRS_24, SHA384: ()}
    result = client.allocation_result(ask(client.pcr_allocate({SHA1: PCRS_24})))
    assert result == client.AllocationResult(
        allocation_success=True, max_pcr=24, size_needed=24 * 52, size_available=2400
    )
    answer = client.capability(ask(client.get_capability(TpmCap.ALGS, 0, 1)))
    assert answer == client.Capability(
        more_data=True, capability=0, data=bytes.fromhex("00000001000100000009")
    )


def test_reading_all_values_in_three_questions() -> None:
    tpm, _, _ = started(allocated=(SHA1, SHA256))
    wanted = {SHA1: (0, 6), SHA256: tuple(range(20))}
    rest: dict[int, tuple[int, ...]] = without(wanted, {})
    sizes: list[int] = []
    while rest:
        body = client.response(tpm.execute(client.pcr_read(rest)))
        values = client.pcr_values(body)
        sizes.append(len(values.digests))
        rest = without(rest, values.selection)
    assert sizes == [8, 8, 6]


def test_recorded_answer() -> None:
    chain = vector("formulas.json")["pcr"]
    values = client.pcr_values(client.response(bytes.fromhex(chain["read_response"])))
    assert values == client.PcrValues(
        update_counter=26,
        selection={SHA256: (6,)},
        digests=(bytes.fromhex(chain["steps"][-1]["pcr6"]),),
    )
    expected = bytes.fromhex(SBE["get_cap_pcrs_expected_response"])
    banks = client.allocated_banks(client.response(expected))
    assert banks == {SHA1: (), SHA256: PCRS_24, SHA384: ()}


@pytest.mark.parametrize("rc", [0x100, 0x1C4, 0x922, 0x01E])
def test_refused_command(rc: int) -> None:
    with pytest.raises(TpmError) as caught:
        client.response(refusal(rc))
    assert caught.value.code == rc


def test_tpm_12_error_is_an_error_of_the_tpm() -> None:
    with pytest.raises(TpmError):
        client.response(bytes.fromhex("00c40000000a0000001e"))


@pytest.mark.parametrize(
    ("raw", "field", "offset"),
    [
        (b"", "size", 2),
        (bytes(9), "size", 2),
        (bytes(4097), "size", 2),
        (bytes.fromhex("80010000000b00000000"), "responseSize", 2),
        (bytes.fromhex("80010000000900000100"), "responseSize", 2),
        (bytes.fromhex("80030000000a00000000"), "tag", 0),
        (bytes.fromhex("80020000000a00000000"), "parameterSize", 10),
        (bytes.fromhex("80020000000e0000000000000001"), "parameterSize", 10),
        (bytes.fromhex("80020000000e00000000ffffffff"), "parameterSize", 10),
    ],
)
def test_no_response(raw: bytes, field: str, offset: int) -> None:
    with pytest.raises(FormatError) as caught:
        client.response(raw)
    assert caught.value.format_name == "TPM response"
    assert (caught.value.field, caught.value.offset) == (field, offset)


@pytest.mark.parametrize(
    ("reader", "body", "format_name", "field", "offset"),
    [
        (client.random_bytes, "", "TPM2B", "size", 0),
        (client.random_bytes, "0002ff", "TPM2B", "size", 0),
        (client.random_bytes, "0001ffff", "TPM2_GetRandom response", "end", 3),
        (client.pcr_values, "", "TPML_PCR_SELECTION", "count", 4),
        (client.pcr_values, "00000000000000", "TPML_PCR_SELECTION", "count", 4),
        (client.pcr_values, "0" * 15 + "1", "TPML_PCR_SELECTION", "count", 4),
        (client.pcr_values, "00" * 8, "TPM2_PCR_Read response", "count", 8),
        (client.pcr_values, "00" * 8 + "09", "TPM2_PCR_Read response", "count", 8),
        (client.pcr_values, "00" * 11 + "09", "TPM2_PCR_Read response", "count", 8),
        (client.pcr_values, "00" * 11 + "01", "TPM2B", "size", 12),
        (client.pcr_values, "00" * 11 + "01000201", "TPM2B", "size", 12),
        (client.pcr_values, "00" * 13, "TPM2_PCR_Read response", "end", 12),
        (client.capability, "00" * 8, "TPM2_GetCapability response", "count", 5),
        (
            client.allocated_banks,
            "000000000600000000",
            "TPM2_GetCapability response",
            "capability",
            1,
        ),
        (
            client.allocated_banks,
            "00000000050000000000",
            "TPM2_GetCapability response",
            "end",
            9,
        ),
        (
            client.allocated_banks,
            "000000000500000001000b02ffff00",
            "TPML_PCR_SELECTION",
            "sizeofSelect",
            11,
        ),
        (
            client.allocated_banks,
            "000000000500000002000b03ffffff000b03000000",
            "TPML_PCR_SELECTION",
            "hash",
            15,
        ),
        (
            client.allocated_banks,
            "0000000005ffffffff000b03ffffff",
            "TPML_PCR_SELECTION",
            "count",
            5,
        ),
        (
            client.allocated_banks,
            "000000000500000005" + "".join(f"{n:04x}03000000" for n in range(5)),
            "TPML_PCR_SELECTION",
            "count",
            5,
        ),
        (client.allocation_result, "00" * 12, "TPM2_PCR_Allocate response", "end", 13),
        (client.allocation_result, "00" * 14, "TPM2_PCR_Allocate response", "end", 13),
    ],
)
def test_bodies_that_are_none(
    reader: Callable[[bytes], Any],
    body: str,
    format_name: str,
    field: str,
    offset: int,
) -> None:
    with pytest.raises(FormatError) as caught:
        reader(bytes.fromhex(body))
    error = caught.value
    assert (error.format_name, error.field) == (format_name, field)
    assert error.offset == offset


@pytest.mark.parametrize(("raw", "found"), [(b"", "0x0"), (b"\0\0\0", "0x3")])
def test_selection_without_a_whole_count(raw: bytes, found: str) -> None:
    with pytest.raises(FormatError, match=f"found {found} bytes, expected 0x4 bytes"):
        selection_from_prefix(raw, 0)


@given(all_selections, st.binary(max_size=4))
def test_selection_round_trip(
    selection: dict[int, tuple[int, ...]], rest: bytes
) -> None:
    raw = selection_bytes(selection)
    assert selection_from_prefix(b"xx" + raw + rest, 2) == (selection, 2 + len(raw))


@given(all_selections, st.data())
def test_selection_cut_short(
    selection: dict[int, tuple[int, ...]], data: st.DataObject
) -> None:
    raw = selection_bytes(selection)
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(FormatError):
        selection_from_prefix(raw[:cut], 0)


def test_selection_of_the_reference() -> None:
    expected = selections((SHA1, "010000"), (SHA256, "408080"))
    assert selection_bytes({SHA1: [0], SHA256: [23, 6, 15, 6]}) == expected


@given(
    all_selections,
    st.lists(st.sampled_from([20, 32, 48]).map(bytes), max_size=8),
)
def test_pcr_values_round_trip(
    selection: dict[int, tuple[int, ...]], digests: list[bytes]
) -> None:
    values = client.pcr_values(pcr_values_body(selection, digests))
    assert values == client.PcrValues(
        update_counter=7, selection=selection, digests=tuple(digests)
    )


@given(
    all_selections,
    st.lists(st.sampled_from([20, 32, 48]).map(bytes), max_size=8),
    st.data(),
)
def test_pcr_values_cut_short(
    selection: dict[int, tuple[int, ...]], digests: list[bytes], data: st.DataObject
) -> None:
    body = pcr_values_body(selection, digests)
    with pytest.raises(FormatError):
        client.pcr_values(body[: data.draw(st.integers(0, len(body) - 1))])


@given(st.sampled_from(READERS), st.binary(max_size=80))
def test_noise_is_refused_politely(reader: Callable[[bytes], Any], raw: bytes) -> None:
    with suppress(FormatError, TpmError):
        reader(raw)


@given(st.binary(max_size=60), st.sampled_from([0x8001, 0x8002]))
def test_noise_in_a_response_is_refused_politely(body: bytes, tag: int) -> None:
    raw = tag.to_bytes(2, "big") + (10 + len(body)).to_bytes(4, "big") + bytes(4)
    with suppress(FormatError):
        parameters = client.response(raw + body)
        for reader in READERS[1:]:
            with suppress(FormatError):
                reader(parameters)
