"""TFRecord files and the `tf.train.Example` messages in them, read without TensorFlow.

A record is its length (8 bytes, little-endian), the masked CRC-32C of those 8 bytes, the data, and the masked CRC-32C
of the data. An Example maps names to lists of bytes, floats or integers; its messages are described here at run time.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from curation.errors import ErrorClass, StageError

LENGTH = struct.Struct("<QI")  # length, masked CRC of it
FOOTER = struct.Struct("<I")  # masked CRC of the data
MASK_DELTA = 0xA282EAD8
GZIP = b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record, counted from 1: its data, or why it cannot be read."""

    number: int
    data: bytes = b""
    error: StageError | None = None


def masked_crc(data: bytes) -> int:
    """TFRecord's checksum: CRC-32C, rotated right by 15 bits, plus a constant."""
    crc: int = crc32c.crc32c(data)
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF


def read_records(path: Path) -> Iterator[Record]:
    """All records of a file, one at a time. Bad data is one record's error; a broken length ends the file with one."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        number = 1
        while (length := _next_length(stream, size, number)) is not None:
            if isinstance(length, StageError):
                yield Record(number=number, error=length)
                return
            data = stream.read(length)
            (crc,) = FOOTER.unpack(stream.read(FOOTER.size))
            if masked_crc(data) == crc:
                yield Record(number=number, data=data)
            else:
                yield Record(
                    number=number, error=StageError(ErrorClass.CORRUPT, "its data does not match its checksum")
                )
            number += 1


def count_records(path: Path) -> int:
    """How many records `read_records` gives, from the lengths alone."""
    size = path.stat().st_size
    count = 0
    with path.open("rb", buffering=0) as stream:  # a few bytes here and there
        while (length := _next_length(stream, size, count + 1)) is not None:
            count += 1
            if isinstance(length, StageError):
                break
            stream.seek(length + FOOTER.size, 1)
    return count


def _next_length(stream: IO[bytes], size: int, number: int) -> int | StageError | None:
    """The next record's length, its error where that cannot be known, None at the end."""
    header = stream.read(LENGTH.size)
    if not header:
        return None
    if number == 1 and header.startswith(GZIP):
        return StageError(ErrorClass.UNSUPPORTED, "the file is compressed; unpack it with gunzip")
    if len(header) < LENGTH.size:
        return StageError(ErrorClass.CORRUPT, "the file ends within it; nothing more of the file can be read")
    length, crc = LENGTH.unpack(header)
    if masked_crc(header[:8]) != crc:
        return StageError(ErrorClass.CORRUPT, "its length is damaged; nothing more of the file can be read")
    if stream.tell() + length + FOOTER.size > size:
        return StageError(ErrorClass.CORRUPT, "the file ends within it; nothing more of the file can be read")
    return int(length)


def parse_example(data: bytes) -> Mapping[str, Any]:
    """The features of an Example by name; each has `bytes_list`, `float_list` and `int64_list`, one of them filled.

    Raises `StageError` (corrupt) if the bytes are no Example.
    """
    try:
        features: Mapping[str, Any] = _example_class().FromString(data).features.feature
    except DecodeError:
        raise StageError(ErrorClass.CORRUPT, "it is no tf.train.Example") from None
    return features


@functools.cache
def _example_class() -> Any:
    """`tf.train.Example`, described as in TensorFlow's example.proto and feature.proto."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="stillflow/example.proto", package="stillflow", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, int, int, str]) -> Any:
        described = file.message_type.add(name=name)
        for field_name, number, label, kind, type_name in fields:
            described.field.add(name=field_name, number=number, label=label, type=kind, type_name=type_name or None)
        return described

    one, many = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    message("BytesList", ("value", 1, many, field.TYPE_BYTES, ""))
    message("FloatList", ("value", 1, many, field.TYPE_FLOAT, ""))
    message("Int64List", ("value", 1, many, field.TYPE_INT64, ""))
    feature = message(
        "Feature",
        ("bytes_list", 1, one, field.TYPE_MESSAGE, ".stillflow.BytesList"),
        ("float_list", 2, one, field.TYPE_MESSAGE, ".stillflow.FloatList"),
        ("int64_list", 3, one, field.TYPE_MESSAGE, ".stillflow.Int64List"),
    )
    feature.oneof_decl.add(name="kind")
    for described in feature.field:
        described.oneof_index = 0
    features = message("Features", ("feature", 1, many, field.TYPE_MESSAGE, ".stillflow.Features.FeatureEntry"))
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=one, type=field.TYPE_STRING)
    entry.field.add(name="value", number=2, label=one, type=field.TYPE_MESSAGE, type_name=".stillflow.Feature")
    message("Example", ("features", 1, one, field.TYPE_MESSAGE, ".stillflow.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("stillflow.Example"))
