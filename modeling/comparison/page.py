"""The comparison as one HTML file that needs no other: numbers, curves, strips, and videos that play in step."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import jinja2
import numpy as np
from numpy.typing import NDArray

from modeling.comparison.clips import Scene, headings, scaled, strip
from modeling.comparison.table import MARK, Table, notes
from modeling.errors import ModelingError
from modeling.media.video import write_video

HERE = Path(__file__).parent
LARGEST = 20_000_000  # bytes of the page, about
OVERHEAD = 200_000  #   of its text
FPS = 12.5


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of a scene, as data URIs."""

    title: str
    strip: str
    video: str
    seconds: float

    @property
    def size(self) -> int:
        return len(self.strip) + len(self.video)


def png(picture_HW4: NDArray[np.uint8]) -> bytes:
    """RGB and opacity as a PNG."""
    done, data = cv2.imencode(".png", cv2.cvtColor(picture_HW4, cv2.COLOR_RGBA2BGRA))
    if not done:
        raise ModelingError("a picture could not be made into a PNG")
    return bytes(data)


def render(
    table: Table,
    differences: Sequence[str],
    curves: Sequence[tuple[str, bytes]],
    scenes: Sequence[Scene],
    chosen: Sequence[int],
    *,
    returns: Sequence[str] = (),
    remarks: Sequence[str] = (),
    largest: int = LARGEST,
) -> str:
    """The page's HTML, escaped by the template; scenes beyond `largest` bytes are left out, which it says.

    curves: a picture (PNG) a data set, with what the set is. remarks: on the clips.
    """
    shown, size = [], OVERHEAD + sum(len(picture) * 4 // 3 for _, picture in curves)
    left: list[str] = []
    for scene in scenes:
        masked = any(row.labels is not None for row in scene.rows)
        lines = [_line(row.title, strip(row, chosen, masked=masked), row.clip) for row in scene.rows]
        needed = sum(line.size for line in lines)
        if size + needed > largest:
            left.append(scene.id)
            continue
        size += needed
        shown.append({"id": scene.id, "lines": lines, "headings": headings(chosen, masked=masked)})
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        table=table,
        notes={part.about: notes(part, table.metrics) for part in table.parts},
        differences=differences,
        mark=MARK,
        bold=any(row.best for row in table.rows),
        curves=[(about, _uri("image/png", picture)) for about, picture in curves],
        returns=returns,
        remarks=remarks,
        scenes=shown,
        left=left,
        megabytes=largest / 1e6,
        fps=FPS,
    )


def _line(title: str, strip_HW4: NDArray[np.uint8], clip_THW3: NDArray[np.uint8]) -> Line:
    with tempfile.TemporaryDirectory(prefix="stillflow-comparison-") as folder:
        file = Path(folder) / "clip.mp4"
        write_video(file, np.stack([scaled(frame) for frame in clip_THW3]), fps=FPS)
        video = file.read_bytes()
    return Line(
        title=title,
        strip=_uri("image/png", png(strip_HW4)),
        video=_uri("video/mp4", video),
        seconds=len(clip_THW3) / FPS,
    )


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
