"""Label maps from images: as they are stored, or painted in the colours of a palette.

Labels are COCO-Stuff's ids less one, as SPADE and GauGAN use them: sky-other 156, sea 154, tree 168, unlabelled 255.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from curation.errors import ErrorClass, StageError
from curation.importers.images import read_as_stored

Colour = tuple[int, int, int]
Palette = Mapping[Colour, int]

# The brushes of the GauGAN demo; the red of each is its label.
# fmt: off
GAUGAN_BRUSHES = {
    "bridge": "5e5bc5", "fence": "706419", "house": "7f4502", "platform": "8f2a91", "roof": "9600b1",
    "wall-brick": "aad16a", "wall-stone": "ae2974", "wall-wood": "b0c1c3",
    "dirt": "6e6e28", "gravel": "7c32c8", "ground-other": "7d3054", "mud": "87716f", "pavement": "8b3027",
    "road": "946e28", "sand": "999900",
    "clouds": "696969", "fog": "77ba1d", "hill": "7ec864", "mountain": "869664", "river": "9364c8", "rock": "956432",
    "sea": "9ac6da", "sky-other": "9ceedd", "snow": "9e9eaa", "stone": "a1a164", "water-other": "b1c8ff",
    "bush": "606e32", "flower": "760000", "grass": "7bc800", "plant-other": "8de61e", "straw": "a2a3eb",
    "tree": "a8c832", "wood": "b57b00",
}
# fmt: on
COCO_STUFF_LABELS = 182
# Of SPADE's pictures of label maps: five classes have colours that are easier to look at than the rule's.
SPADE_OWN_COLOURS = {
    105: (170, 170, 170),  # clouds
    123: (29, 195, 49),  # grass
    154: (54, 62, 167),  # sea
    156: (95, 219, 255),  # sky-other
    168: (140, 104, 47),  # tree
}


def gaugan_palette() -> Palette:
    """The colours of the GauGAN demo's brushes."""
    colours = [_hex(colour) for colour in GAUGAN_BRUSHES.values()]
    return {colour: colour[0] for colour in colours}


def coco_stuff_palette() -> Palette:
    """The colours in which SPADE shows COCO-Stuff's 182 labels.

    The rule is PASCAL VOC's for label + 1: bit 3k of it goes to red, 3k + 1 to green, 3k + 2 to blue, from the top.
    """
    palette: dict[Colour, int] = {}
    for label in range(COCO_STUFF_LABELS):
        colour = [0, 0, 0]
        for bit in range(8):
            colour[bit % 3] |= ((label + 1) >> bit & 1) << (7 - bit // 3)
        red, green, blue = SPADE_OWN_COLOURS.get(label, tuple(colour))
        palette[(red, green, blue)] = label
    return palette


NAMED = {"gaugan": gaugan_palette, "coco-stuff": coco_stuff_palette}


def read_palette(path: Path) -> Palette:
    """A palette file: CSV lines `label, red, green, blue` or `label, #rrggbb`, more columns and # comments left out.

    Raises `StageError` (corrupt), naming the line.
    """
    palette: dict[Colour, int] = {}
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        for number, row in enumerate(csv.reader(stream), 1):
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            try:
                label = int(cells[0])
                colour = _hex(cells[1]) if cells[1].startswith("#") else (int(cells[1]), int(cells[2]), int(cells[3]))
                if not 0 <= label <= 255 or not all(0 <= value <= 255 for value in colour):
                    raise ValueError
                if palette.setdefault(colour, label) != label:
                    raise ValueError
            except (ValueError, IndexError):
                message = f"{path.name}, line {number}: not `label,red,green,blue` from 0 to 255, each colour once"
                raise StageError(ErrorClass.CORRUPT, message) from None
    if not palette:
        raise StageError(ErrorClass.CORRUPT, f"{path.name}: no colours in it")
    return palette


def _hex(text: str) -> Colour:
    match = re.fullmatch(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", text)
    if match is None:
        raise ValueError(text)
    return int(match[1], 16), int(match[2], 16), int(match[3], 16)


def read_labels(path: Path, palette: Palette | None, *, nearest: bool = False) -> NDArray[np.uint8]:
    """A label map, (H, W) uint8: single-channel and indexed images as they are, painted ones through `palette`.

    `nearest` gives colours that are not in the palette (soft edges) the label of the nearest one. Raises `StageError`.
    """
    if palette is None and _is_indexed(path):
        return _indices(path)
    pixels = read_as_stored(path)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim == 2:
        if int(pixels.max()) > 255:
            raise StageError(ErrorClass.UNSUPPORTED, f"{path.name}: labels above 255")
        return pixels.astype(np.uint8)
    if palette is None:
        raise StageError(
            ErrorClass.UNSUPPORTED,
            f"{path.name}: painted in colours; say which with --palette gaugan, coco-stuff or FILE",
        )
    if pixels.dtype != np.uint8:
        raise StageError(ErrorClass.UNSUPPORTED, f"{path.name}: colours of {pixels.dtype}, not of 8 bits")
    return _painted(path, pixels[:, :, :3].astype(np.uint8), palette, nearest)


def _painted(path: Path, pixels: NDArray[np.uint8], palette: Palette, nearest: bool) -> NDArray[np.uint8]:
    packed = pixels.astype(np.int64) @ np.array([65536, 256, 1])
    colours, place, counts = np.unique(packed, return_inverse=True, return_counts=True)
    known = np.array(list(palette), np.int64)
    labels = np.array(list(palette.values()), np.uint8)
    each = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], 1)
    found = np.empty(len(colours), np.uint8)
    for index, colour in enumerate(each):  # one at a time: an image of many colours would fill the memory
        distance = np.abs(known - colour).sum(1) if not nearest else ((known - colour) ** 2).sum(1)
        best = int(distance.argmin())
        if distance[best] and not nearest:
            red, green, blue = (int(value) for value in colour)
            message = (
                f"{path.name}: the colour #{red:02x}{green:02x}{blue:02x} of {int(counts[index]):,} pixels"
                " is not in the palette (soft edges: --nearest)"
            )
            raise StageError(ErrorClass.UNSUPPORTED, message)
        found[index] = labels[best]
    result: NDArray[np.uint8] = found[place].reshape(pixels.shape[:2])
    return result


def _is_indexed(path: Path) -> bool:
    """Whether a PNG's pixels are numbers of a colour table, which are the labels then."""
    try:
        with path.open("rb") as stream:
            head = stream.read(26)
    except OSError as error:
        raise StageError(ErrorClass.MISSING, f"{path.name}: {error.strerror or error}") from None
    return head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) == 26 and head[25] == 3


def _indices(path: Path) -> NDArray[np.uint8]:
    try:
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
    except (av.error.FFmpegError, StopIteration):
        raise StageError(ErrorClass.CORRUPT, f"{path.name}: no image that can be read") from None
    if frame.format.name != "pal8":
        raise StageError(ErrorClass.UNSUPPORTED, f"{path.name}: a colour table with {frame.format.name} pixels")
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width].copy()
