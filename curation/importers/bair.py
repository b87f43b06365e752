"""BAIR robot pushing, small (Ebert, Finn, Lee, Levine 2017: arXiv 1710.05268), as softmotion30_44k lies on disk.

`train/traj_0_to_255.tfrecords` and so on, 256 records a file; a record has 30 frames, each with two cameras' pictures
(64x64 RGB bytes), the arm's position and the action that was taken.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from curation.errors import ErrorClass, StageError
from curation.importers.layout import Collection, Content, Made, Refused, files, refuse_layout
from curation.importers.tfrecord import count_records, parse_example, read_records
from curation.providers.found import Found

PROVIDER = "bair"
TERMS = "no terms stated by its makers; published for research"
SIDE = 64  # pixels
SPLITS = ("train", "val", "test")  # val: where a reader has set some of train aside, as video_prediction does
WIDTHS = {"action": 4, "endeffector_pos": 3}  # of the extras, a frame

Camera = Literal["aux1", "main"]


def read_bair(path: Path, *, camera: Camera = "aux1", fps: Fraction = Fraction(25)) -> Collection:
    """All records of a softmotion30_44k folder, train first. Raises `LayoutError` if it is none.

    `aux1` is the camera that published results use. The files record no frame rate.
    """
    by_split = _files(path)
    if not by_split and (path / "softmotion30_44k").is_dir():
        by_split = _files(path / "softmotion30_44k")
    if not by_split:
        raise refuse_layout(path, "train/*.tfrecords and test/*.tfrecords (the folder softmotion30_44k)")
    total = sum(count_records(file) for file_list in by_split.values() for file in file_list)
    return Collection(items=_items(by_split, camera, fps), total=total)


def _files(path: Path) -> dict[str, list[Path]]:
    there = {split: files(path / split, [".tfrecords", ".tfrecord"]) for split in SPLITS if (path / split).is_dir()}
    return {split: file_list for split, file_list in there.items() if file_list}


def _items(by_split: Mapping[str, Sequence[Path]], camera: Camera, fps: Fraction) -> Iterator[Made | Refused]:
    for split, file_list in by_split.items():
        for file in file_list:
            for record in read_records(file):
                if record.error is not None:
                    yield Refused(item=f"{file.name}, record {record.number}", source=str(file), error=record.error)
                    continue
                found = Found(
                    provider=PROVIDER,
                    provider_id=f"{split}-{file.stem}-{record.number:03d}" + ("" if camera == "aux1" else f"-{camera}"),
                    source=f"{file.absolute()}#{record.number}",
                    official_split=split,
                    licence=TERMS,
                    # The same trajectory, whichever camera it was seen by.
                    group_key=f"{split}-{file.stem}-{record.number:03d}",
                )
                yield Made(found=found, fps=fps, read=functools.partial(read_sequence, record.data, camera))


def read_sequence(data: bytes, camera: Camera) -> Content:
    """A record's frames, (64, 64, 3) uint8 each, with `action` (frames, 4) and `endeffector_pos` (frames, 3) float32.

    Raises `StageError` (corrupt) if something is missing or of another size.
    """
    features = parse_example(data)
    count = 0
    while f"{count}/image_{camera}/encoded" in features:
        count += 1
    if count == 0:
        raise StageError(ErrorClass.CORRUPT, f"it has no 0/image_{camera}/encoded")
    frames = [_picture(features, f"{number}/image_{camera}/encoded") for number in range(count)]
    extras = {
        name: np.stack([_row(features, f"{k}/{name}", width) for k in range(count)]) for name, width in WIDTHS.items()
    }
    return Content(frames=frames, extras=extras)


def _picture(features: Mapping[str, Any], name: str) -> NDArray[np.uint8]:
    values = features[name].bytes_list.value
    if len(values) != 1 or len(values[0]) != SIDE * SIDE * 3:
        sizes = ", ".join(f"{len(value):,}" for value in values) or "no"
        raise StageError(
            ErrorClass.CORRUPT, f"{name} has {sizes} bytes, not the {SIDE * SIDE * 3:,} of {SIDE}x{SIDE} RGB"
        )
    return np.frombuffer(values[0], np.uint8).reshape(SIDE, SIDE, 3)


def _row(features: Mapping[str, Any], name: str, width: int) -> NDArray[np.float32]:
    if name not in features:
        raise StageError(ErrorClass.CORRUPT, f"it has no {name}")
    row = np.array(features[name].float_list.value, np.float32)
    if row.shape != (width,):
        raise StageError(ErrorClass.CORRUPT, f"{name} has {len(row)} numbers, not {width}")
    return row
