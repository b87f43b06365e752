"""Images with their label maps, as GauGAN and SPADE use and make them (Park et al. 2019: arXiv 1903.07291), to animate.

`train_img/NAME.jpg` with `train_label/NAME.png`, `val_img` with `val_label`; `images` with `labels` or `masks`; or one
folder with `NAME.jpg` and `NAME_mask.png` (also _label, _seg, or a dot in place of the underscore).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from curation.classify import classify
from curation.errors import ErrorClass, StageError
from curation.importers.images import read_rgb
from curation.importers.layout import IMAGES, Refused, files, refuse_layout
from curation.importers.palettes import Palette, read_labels
from db.engine import Catalogue
from db.files import replacing, sha256_of
from db.models import Still

STILLS = "stills"
FOLDER_PAIRS = (
    ("train_img", "train_label"), ("val_img", "val_label"), ("test_img", "test_label"), ("images", "labels"),
    ("images", "masks"), ("images", "annotations"), ("img", "label"),
)  # fmt: skip
MASK_WORDS = ("mask", "label", "labels", "seg")
BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An image and its label map; None: there is none."""

    image: Path
    labels: Path | None


@dataclass(frozen=True, kw_only=True)
class StillSettings:
    """How stills are brought in. `palette` maps painted colours to labels, to the `nearest` one where asked."""

    palette: Palette | None = None
    nearest: bool = False
    licence: str | None = None


@dataclass(kw_only=True)
class ImportedStills:
    """Ids of new stills, how many were known, what was refused, and how many pixels each label has in the new ones."""

    new: list[str] = field(default_factory=list)
    known: int = 0
    refused: list[Refused] = field(default_factory=list)
    labels: dict[int, int] = field(default_factory=dict)


def find_pairs(
    path: Path, *, labels: Path | None = None, without_masks: bool = False
) -> tuple[list[Pair], list[Refused]]:
    """Images and label maps matched by file name, and those that have no partner. Raises `LayoutError`.

    `labels` is the folder of the maps, of the same file names as the images in `path`.
    """
    if not path.is_dir():
        raise refuse_layout(path, "a folder")
    if labels is not None:
        sides = [(files(path, IMAGES), files(labels, IMAGES))]
    elif without_masks:
        sides = [(files(path, IMAGES), [])]
    else:
        sides = [
            (files(path / images, IMAGES), files(path / maps, IMAGES))
            for images, maps in FOLDER_PAIRS
            if (path / images).is_dir() and (path / maps).is_dir()
        ] or [_by_suffix(files(path, IMAGES))]
    pairs: list[Pair] = []
    refused: list[Refused] = []
    for images, maps in sides:
        _match(images, maps, without_masks, pairs, refused)
    if not any(pair.labels for pair in pairs) and not (without_masks and pairs):
        raise refuse_layout(
            path,
            "val_img/ and val_label/ (or images/ and labels/) with equal file names, or NAME.jpg beside NAME_mask.png"
            " (images alone: --without-masks)",
        )
    return pairs, refused


def _by_suffix(all_files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    maps = [file for file in all_files if _key(file) != file.stem]
    return [file for file in all_files if file not in set(maps)], maps


def _key(file: Path) -> str:
    """A file's name without its extension, and without what says that it is a map."""
    for word in MASK_WORDS:
        for joint in ("_", ".", "-"):
            if file.stem.lower().endswith(joint + word):
                return file.stem[: -len(word) - 1]
    return file.stem


def _match(
    images: Sequence[Path], maps: Sequence[Path], without_masks: bool, pairs: list[Pair], refused: list[Refused]
) -> None:
    by_name: dict[str, Path] = {}
    for file in maps:
        by_name.setdefault(file.stem, file)
        by_name.setdefault(_key(file), file)
    used: set[Path] = set()
    for image in images:
        map_ = by_name.get(image.stem)
        if map_ is None and not without_masks:
            error = StageError(ErrorClass.MISSING, "there is no label map of this name")
            refused.append(Refused(item=image.name, source=str(image), error=error))
            continue
        pairs.append(Pair(image=image, labels=map_))
        used |= {map_} if map_ else set()
    for file in maps:
        if file not in used:
            error = StageError(ErrorClass.MISSING, "there is no image of this name")
            refused.append(Refused(item=file.name, source=str(file), error=error))


def make_stills(
    catalogue: Catalogue,
    pairs: Sequence[Pair],
    settings: StillSettings,
    *,
    dry_run: bool = False,
    done: Callable[[], None] = lambda: None,
) -> ImportedStills:
    """Store each image, and its map, as PNG in stills/, then its row. What is there already is left alone.

    A still's identity is that of its pixels and its labels. Raises `StageError` (disk-full) at once.
    """
    folder = catalogue.folder / STILLS
    if not dry_run:
        folder.mkdir(exist_ok=True)
    with catalogue.reading() as session:
        known = {
            id_: (path, mask) for id_, path, mask in session.execute(select(Still.id, Still.path, Still.mask_path))
        }
    result = ImportedStills()
    waiting: list[Still] = []
    for pair in pairs:
        try:
            still = _still(folder, pair, settings, known, result, dry_run)
        except StageError as error:
            if error.error_class is ErrorClass.DISK_FULL:
                _flush(catalogue, waiting, result)
                raise
            result.refused.append(Refused(item=pair.image.name, source=str(pair.image), error=error))
        else:
            if still is None:
                result.known += 1
            else:
                waiting.append(still)
                known[still.id] = (still.path, still.mask_path)
        if len(waiting) >= BATCH and not dry_run:
            _flush(catalogue, waiting, result)
        done()
    if dry_run:
        result.new = [still.id for still in waiting]
    else:
        _flush(catalogue, waiting, result)
    return result


def _flush(catalogue: Catalogue, waiting: list[Still], result: ImportedStills) -> None:
    with catalogue.writing() as session:
        for still in waiting:
            session.merge(still)
    result.new += [still.id for still in waiting]
    waiting.clear()


def _still(
    folder: Path,
    pair: Pair,
    settings: StillSettings,
    known: Mapping[str, tuple[str, str | None]],
    result: ImportedStills,
    dry_run: bool,
) -> Still | None:
    """The row of a still whose files are in place; None if it was there."""
    image = read_rgb(pair.image)
    labels = None
    if pair.labels is not None:
        labels = read_labels(pair.labels, settings.palette, nearest=settings.nearest)
        if labels.shape != image.shape[:2]:
            (map_height, map_width), (height, width) = labels.shape, image.shape[:2]
            message = f"{pair.labels.name} is {map_width}x{map_height}, the image {width}x{height}"
            raise StageError(ErrorClass.UNSUPPORTED, message)
    id_ = f"gaugan-{_identity(image, labels)}"
    path = folder / f"{id_}.png"
    mask = None if labels is None else folder / f"{id_}.mask.png"
    if id_ in known and path.is_file() and (mask is None or mask.is_file()):
        return None
    if not dry_run:
        try:
            _write_png(path, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            if mask is not None and labels is not None:
                _write_png(mask, labels)
        except OSError as error:
            raise classify(error) from error
    if labels is not None:
        for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
            result.labels[int(label)] = result.labels.get(int(label), 0) + int(count)
    return Still(
        id=id_,
        source=str(pair.image.absolute()),
        path=f"{STILLS}/{path.name}",
        mask_path=None if mask is None else f"{STILLS}/{mask.name}",
        sha256="" if dry_run else sha256_of(path),
        licence=settings.licence,
    )


def _identity(image: NDArray[np.uint8], labels: NDArray[np.uint8] | None) -> str:
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(image.tobytes())
    if labels is not None:
        digest.update(labels.tobytes())
    return digest.hexdigest()[:12]


def _write_png(path: Path, pixels: NDArray[np.uint8] | cv2.typing.MatLike) -> None:
    encoded, data = cv2.imencode(".png", pixels)
    if not encoded:
        raise ValueError(f"{path.name}: cannot be encoded")
    with replacing(path) as partial:
        partial.write_bytes(data.tobytes())
