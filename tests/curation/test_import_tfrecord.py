"""TFRecord framing and Examples, against a writer that shares nothing with the reader."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import StageError
from curation.importers.tfrecord import Record, count_records, masked_crc, parse_example, read_records
from tests.curation.import_cases import example, framed, masked, write_tfrecords


def errors(records: list[Record]) -> list[str | None]:
    return [record.error.message if record.error else None for record in records]


@given(data=st.binary(max_size=40))
def test_checksums_agree_with_the_bitwise_one(data: bytes) -> None:
    assert masked_crc(data).to_bytes(4, "little") == masked(data)


@settings(max_examples=30, deadline=None)
@given(records=st.lists(st.binary(max_size=300), max_size=6))
def test_records_come_back_in_order(tmp_path_factory: pytest.TempPathFactory, records: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("records") / "a.tfrecords"
    write_tfrecords(path, records)
    assert [(record.number, record.data) for record in read_records(path)] == list(enumerate(records, 1))
    assert count_records(path) == len(records)


def test_bad_data_costs_one_record(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecords"
    bad = bytearray(framed(b"second"))
    bad[13] ^= 1
    path.write_bytes(framed(b"first") + bad + framed(b"third"))
    records = list(read_records(path))
    assert [record.data for record in records] == [b"first", b"", b"third"]
    assert errors(records) == [None, "its data does not match its checksum", None]
    assert count_records(path) == 3


@pytest.mark.parametrize("at", [0, 7, 8, 11])
def test_a_broken_length_costs_the_rest_of_the_file(tmp_path: Path, at: int) -> None:
    path = tmp_path / "a.tfrecords"
    bad = bytearray(framed(b"second"))
    bad[at] ^= 64
    path.write_bytes(framed(b"first") + bad + framed(b"third"))
    records = list(read_records(path))
    assert errors(records) == [None, "its length is damaged; nothing more of the file can be read"]
    assert count_records(path) == 2


@pytest.mark.parametrize("kept", [1, 11, 12, 15, 21])
def test_a_truncated_file_gives_what_is_whole(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a.tfrecords"
    path.write_bytes(framed(b"first") + framed(b"second")[:kept])
    records = list(read_records(path))
    assert records[0].data == b"first"
    assert errors(records) == [None, "the file ends within it; nothing more of the file can be read"]


def test_a_compressed_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecords"
    path.write_bytes(gzip.compress(framed(b"first")))
    assert "gunzip" in str(errors(list(read_records(path)))[0])


@given(
    numbers=st.lists(st.floats(width=32, allow_nan=False), max_size=5),
    data=st.binary(max_size=30),
    name=st.text(min_size=1, max_size=8),
)
def test_examples_are_parsed(numbers: list[float], data: bytes, name: str) -> None:
    features = parse_example(example({name: data, name + "/floats": numbers}))
    assert set(features) == {name, name + "/floats"}
    assert list(features[name].bytes_list.value) == [data]
    np.testing.assert_array_equal(np.array(features[name + "/floats"].float_list.value), np.array(numbers))


def test_what_is_no_example_is_refused() -> None:
    with pytest.raises(StageError, match=r"no tf\.train\.Example"):
        parse_example(b"\x0a\xff\xff\xff")
