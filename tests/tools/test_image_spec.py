"""What is built, described: the value is primary, the table a view of it."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from pefstack.hw.flip import FlipSpec
from pefstack.hw.mapping import SettingError
from pefstack.tools.builders.content_spec import ContentSpec
from pefstack.tools.builders.guest_spec import PLACES, GuestImageSpec
from pefstack.tools.builders.spec import (
    ContainerSpec,
    FlashSpec,
    ImageSpec,
    KeysSpec,
    MeasurementSpec,
    PartitionSpec,
    SectionSpec,
    SeepromSpec,
)

MAX_SIZE = 256 << 20
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
WORDS = TEXTS.filter(bool)
UINT64 = st.integers(0, (1 << 64) - 1)
BLOCKS = st.integers(0, MAX_SIZE // 0x1000).map(lambda number: number * 0x1000)
KEYS = st.builds(KeysSpec, file=WORDS) | st.builds(KeysSpec, seed=WORDS)
CONTENTS = (
    st.builds(ContentSpec, file=WORDS, seed=TEXTS)
    | st.builds(ContentSpec, text=WORDS)
    | st.builds(
        ContentSpec, fill=st.integers(1, MAX_SIZE), seed=TEXTS, xz=st.booleans()
    )
)
CONTAINERS = st.builds(
    ContainerSpec,
    sw_keys=st.integers(1, 3),
    entry=UINT64,
    security_version=st.integers(0, 255),
    hw_flags=st.integers(0, 0xFFFFFFFF),
    sw_flags=st.integers(0, 0xFFFFFFFF),
    target_hrmor=UINT64,
    label=TEXTS,
    keys=st.none() | KEYS,
)
FLIPS = st.lists(
    st.builds(FlipSpec, offset=st.integers(0, MAX_SIZE), bit=st.integers(0, 7)),
    max_size=2,
).map(tuple)
SECTIONS = st.builds(SectionSpec, content=CONTENTS, container=CONTAINERS, flip=FLIPS)
PARTITIONS = st.builds(
    PartitionSpec,
    base=BLOCKS,
    size=BLOCKS.filter(bool),
    ecc=st.booleans(),
    flags=TEXTS,
    content=st.none() | CONTENTS,
    container=st.none() | CONTAINERS,
    flip=FLIPS,
)
VERSIONS = st.integers(0, 0xFFFFFFFF)
GUESTS = st.builds(
    GuestImageSpec,
    kernel=CONTENTS,
    initrd=st.none() | CONTENTS,
    append=TEXTS.filter(lambda text: "\0" not in text),
    place=st.sampled_from(PLACES),
    secret=st.dictionaries(TEXTS, CONTENTS, max_size=2),
    seed=TEXTS,
    slots=st.integers(1, 64),
    security_version=VERSIONS,
    minimum_version=VERSIONS,
    pcr_value=st.just(b"") | st.binary(min_size=32, max_size=32),
)
IMAGES = st.builds(
    ImageSpec,
    provisioned=st.booleans(),
    guest=st.none() | GUESTS,
    keys=KEYS,
    measurement=st.builds(
        MeasurementSpec, code=CONTENTS, version=st.binary(min_size=4, max_size=4)
    ),
    seeprom=st.builds(
        SeepromSpec, base=SECTIONS, sb_verification=SECTIONS, hbbl=SECTIONS
    ),
    flash=st.builds(
        FlashSpec,
        size=BLOCKS.filter(lambda size: size >= 0x10000),
        table_size=BLOCKS,
        keys=st.none() | KEYS,
        partition=st.dictionaries(TEXTS, PARTITIONS, max_size=2),
    ),
)


@given(IMAGES)
def test_the_round_trip_changes_nothing(spec: ImageSpec) -> None:
    table = spec.to_mapping()
    assert ImageSpec.from_mapping(table) == spec
    assert ImageSpec.from_mapping(tomllib.loads(tomli_w.dumps(table))) == spec
    assert ImageSpec.from_mapping(table).to_mapping() == table


KERNEL = {"kernel": ContentSpec(fill=0x1000)}
WRONG: list[tuple[type, dict[str, Any], str]] = [
    (GuestImageSpec, KERNEL | {"place": "disk"}, "place: found 'disk', expected init"),
    (GuestImageSpec, KERNEL | {"format": "v3"}, "format: found 'v3', expected v2 or"),
    (GuestImageSpec, KERNEL | {"append": "a\0"}, "append: holds a NUL"),
    (GuestImageSpec, KERNEL | {"slots": 0}, "slots: found 0x0, expected 0x1 to 0x40"),
    (GuestImageSpec, KERNEL | {"slots": 65}, "slots: found 0x41"),
    (GuestImageSpec, KERNEL | {"security_version": -1}, "security-version: found 0x-1"),
    (GuestImageSpec, KERNEL | {"minimum_version": 1 << 32}, "minimum-version: found 0"),
    (GuestImageSpec, KERNEL | {"pcr_value": b"1"}, "pcr-value: found 1 bytes, expec"),
    (GuestImageSpec, KERNEL | {"format": "v1", "minimum_version": 1}, "format: found "),
    (KeysSpec, {}, "file: give either `file` (a folder) or `seed`"),
    (KeysSpec, {"file": "a", "seed": "b"}, "file: give either"),
    (ContentSpec, {}, "file: give one of `file`, `text`, `fill`"),
    (ContentSpec, {"text": "a", "fill": 1}, "file: give one of"),
    (ContentSpec, {"fill": -1}, "fill: found 0x-1, expected 0x0 to 0x10000000"),
    (ContentSpec, {"fill": MAX_SIZE + 1}, "fill: found 0x10000001"),
    (ContainerSpec, {"sw_keys": 0}, "sw-keys: found 0x0, expected 0x1 to 0x3"),
    (ContainerSpec, {"sw_keys": 4}, "sw-keys: found 0x4"),
    (ContainerSpec, {"entry": -1}, "entry: found 0x-1"),
    (ContainerSpec, {"security_version": 256}, "security-version: found 0x100"),
    (ContainerSpec, {"hw_flags": 1 << 32}, "hw-flags: found 0x100000000"),
    (ContainerSpec, {"sw_flags": -1}, "sw-flags: found 0x-1"),
    (ContainerSpec, {"target_hrmor": 1 << 64}, "target-hrmor: found 0x1000"),
    (FlipSpec, {"offset": -1}, "offset: found 0x-1"),
    (FlipSpec, {"offset": 0, "bit": 8}, "bit: found 0x8, expected 0x0 to 0x7"),
    (MeasurementSpec, {"code": None, "version": b"\1\2\3"}, "version: found '010203'"),
    (PartitionSpec, {"base": -0x1000, "size": 0x1000}, "base: found 0x-1000"),
    (PartitionSpec, {"base": 5, "size": 0x1000}, "base: found 0x5, expected a mul"),
    (PartitionSpec, {"base": 0, "size": 0}, "size: found 0x0, expected 0x1000 to"),
    (PartitionSpec, {"base": 0, "size": 0x1800}, "size: found 0x1800, expected a mul"),
    (FlashSpec, {"size": 0xF000}, "size: found 0xf000, expected 0x10000 to"),
    (FlashSpec, {"size": MAX_SIZE + 0x1000}, "size: found 0x10001000"),
    (FlashSpec, {"size": 0x10800}, "size: found 0x10800, expected a multiple"),
    (FlashSpec, {"size": 0x10000, "table_size": -0x1000}, "table-size: found 0x-1000"),
    (FlashSpec, {"size": 0x10000, "table_size": 5}, "table-size: found 0x5"),
]


@pytest.mark.parametrize(("kind", "values", "problem"), WRONG)
def test_a_value_out_of_bounds_is_named(
    kind: type, values: dict[str, Any], problem: str
) -> None:
    with pytest.raises(SettingError) as wrong:
        kind(**values)
    assert str(wrong.value).startswith(problem)


def test_a_wrong_value_deep_in_the_table_is_named_with_its_whole_path() -> None:
    container = {"sw-keys": 9}
    partition = {"base": 0, "size": 0x1000, "container": container}
    section = {"content": {"text": "x"}}
    table = {
        "keys": {"seed": "x"},
        "measurement": {"code": {"text": "x"}},
        "seeprom": dict.fromkeys(("base", "sb-verification", "hbbl"), section),
        "flash": {"size": 0x10000, "partition": {"HBB": partition}},
    }
    with pytest.raises(SettingError) as wrong:
        ImageSpec.from_mapping(table)
    assert wrong.value.key == "image.flash.partition.HBB.container.sw-keys"
