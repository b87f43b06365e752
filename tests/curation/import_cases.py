"""Miniatures of published data sets, as their makers lay them out, and what all tests of importers share.

TFRecords are written here by plain arithmetic, with nothing of the importer's: a bitwise CRC and a hand-made encoder.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from sqlalchemy import select

from curation.commands import main
from curation.decode import rgb
from curation.probe import probe
from db.engine import Catalogue
from db.models import Extra, Video

Feature = bytes | Sequence[float]


def run(catalogue: Catalogue, *arguments: str | Path) -> Result:
    """`curate ARGUMENTS --dataset ...`."""
    return CliRunner().invoke(main, [*map(str, arguments), "--dataset", str(catalogue.folder)])


def run_import(catalogue: Catalogue, *arguments: str | Path, status: int = 0) -> dict[str, Any]:
    """`curate import ARGUMENTS --json`, which must leave with `status`."""
    result = run(catalogue, "import", *arguments, "--json")
    assert result.exit_code == status, (result.output, result.exception)
    outcome: dict[str, Any] = json.loads(result.stdout)
    return outcome


def videos(catalogue: Catalogue) -> dict[str, Video]:
    """All videos by provider id, in the order they were found."""
    with catalogue.reading() as session:
        rows = session.scalars(select(Video).order_by(Video.query_id, Video.query_rank))
        return {video.provider_id: video for video in rows}


def frames_of(catalogue: Catalogue, video: Video) -> NDArray[np.uint8]:
    """A made video's frames, (F, H, W, 3), through the pipeline's own way to frames."""
    path = catalogue.path(str(video.path))
    info = probe(path)
    return np.stack([frame.copy() for frame in rgb(path, int(info.pts[0]), info.end_pts)])


def extras_of(catalogue: Catalogue, video: Video) -> dict[str, NDArray[Any]]:
    with catalogue.reading() as session:
        rows = session.scalars(select(Extra).where(Extra.video_id == video.id)).all()
    return {row.name: np.load(catalogue.path(row.path), allow_pickle=False) for row in rows}


def moving_blobs(count: int, height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """(count, height, width, 3): noise that moves a pixel a frame, so that all frames differ."""
    field = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return np.stack([np.roll(field, k, 1) for k in range(count)])


def write_image(path: Path, rgb_pixels: NDArray[np.uint8]) -> None:
    """An RGB or grey image, by its extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = rgb_pixels[:, :, ::-1] if rgb_pixels.ndim == 3 else rgb_pixels
    assert cv2.imwrite(str(path), np.ascontiguousarray(stored))


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32)


def framed(data: bytes) -> bytes:
    """A TFRecord."""
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def write_tfrecords(path: Path, records: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(framed(record) for record in records))


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def example(features: Mapping[str, Feature]) -> bytes:
    """A tf.train.Example: bytes become a bytes_list, numbers a packed float_list."""
    entries = b""
    for name, value in features.items():
        if isinstance(value, bytes):
            kind = field(1, field(1, value))
        else:
            kind = field(2, field(1, struct.pack(f"<{len(value)}f", *value)))
        entries += field(1, field(1, name.encode()) + field(2, kind))
    return field(1, entries)


def push(seed: int, count: int = 3) -> tuple[bytes, NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """A BAIR record with its aux1 frames (count, 64, 64, 3), actions (count, 4) and positions (count, 3)."""
    frames = moving_blobs(count, 64, 64, seed)
    rng = np.random.default_rng(seed)
    actions = rng.normal(size=(count, 4)).astype(np.float32)
    positions = rng.normal(size=(count, 3)).astype(np.float32)
    features: dict[str, Feature] = {}
    for k in range(count):
        features[f"{k}/image_aux1/encoded"] = frames[k].tobytes()
        features[f"{k}/image_main/encoded"] = frames[k][::-1].tobytes()
        features[f"{k}/action"] = actions[k].tolist()
        features[f"{k}/endeffector_pos"] = positions[k].tolist()
    return example(features), frames, actions, positions
