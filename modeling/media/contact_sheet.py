"""Contact sheets: one picture with a row a video and chosen frames side by side, to look at many videos at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from modeling.errors import ModelingError
from modeling.files import atomic_file
from modeling.media.images import resized

Cell = NDArray[np.uint8]  # (h, w, 3)

COLUMNS = 5  #          frames shown, beside the last
CELL = 160  #           pixels of a frame's longer side
ROWS = 24  #            a page; further rows go to the next
GAP, HEADER, FONT = 8, 28, 16
PAPER, INK, FAINT = (250, 250, 250), (30, 30, 30), (120, 120, 120)
LONGEST_LABEL = 60  #   characters of a file's name


def chosen_frames(frames: int) -> list[int]:
    """About every fifth part of a video, with the first and the last frame: 0, 5, 10, 15, 20, 24 of 25."""
    last = frames - 1
    step = max(1, round(last / COLUMNS))
    shown = [index for index in range(0, last, step) if index == 0 or last - index >= step / 2]
    return [*shown, last] if last else [0]


def thumbnail(frame_HW3: NDArray[np.uint8]) -> Cell:
    """A frame as it stands on a sheet: its longer side of `CELL` pixels; small ones are enlarged by whole factors."""
    height, width = frame_HW3.shape[:2]
    factor = CELL // max(height, width)
    if factor >= 1:
        return np.asarray(frame_HW3.repeat(factor, axis=0).repeat(factor, axis=1), np.uint8)
    scale = CELL / max(height, width)
    return resized(frame_HW3, max(1, round(height * scale)), max(1, round(width * scale)))


class ContactSheet:
    """Rows are added as videos are made; a full page is written at once, so that memory does not grow with them."""

    def __init__(self, folder: Path, frames: Sequence[int]) -> None:
        self.folder, self.frames = folder, list(frames)
        self.pages: list[Path] = []
        self._rows: list[tuple[str, list[Cell]]] = []

    @staticmethod
    def file(folder: Path, page: int) -> Path:
        """The file of a page, counted from 1."""
        return folder / ("contact-sheet.png" if page == 1 else f"contact-sheet-{page}.png")

    def add(self, label: str, cells: Sequence[Cell]) -> None:
        """A row with a cell a chosen frame. ModelingError where a full page cannot be written."""
        if len(cells) != len(self.frames):
            raise ValueError(f"a row needs {len(self.frames)} cells, not {len(cells)}")
        self._rows.append((label, list(cells)))
        if len(self._rows) == ROWS:
            self.close()

    def close(self) -> None:
        """Write what is left as the last page, where there is any."""
        if not self._rows:
            return
        path = self.file(self.folder, len(self.pages) + 1)
        done, data = cv2.imencode(".png", cv2.cvtColor(self._drawn(), cv2.COLOR_RGB2BGR))
        if not done:
            raise ModelingError(f"{path}: the contact sheet could not be encoded")
        with atomic_file(path) as stream:
            stream.write(data.tobytes())
        self.pages.append(path)
        self._rows = []

    def _drawn(self) -> NDArray[np.uint8]:
        face = cv2.FontFace("sans")
        column = max(cell.shape[1] for _, cells in self._rows for cell in cells)
        heights = [HEADER + max(cell.shape[0] for cell in cells) + GAP for _, cells in self._rows]
        page = np.full((HEADER + sum(heights), GAP + len(self.frames) * (column + GAP), 3), PAPER, np.uint8)
        for number, index in enumerate(self.frames):
            cv2.putText(page, f"frame {index}", (GAP + number * (column + GAP), 20), FAINT, face, FONT)
        top = HEADER
        for (label, cells), height in zip(self._rows, heights, strict=True):
            cv2.putText(page, _short(label), (GAP, top + 19), INK, face, FONT)
            for number, cell in enumerate(cells):
                left = GAP + number * (column + GAP)
                page[top + HEADER : top + HEADER + cell.shape[0], left : left + cell.shape[1]] = cell
            top += height
        return page


def _short(label: str) -> str:
    if len(label) <= LONGEST_LABEL:
        return label
    return f"{label[: LONGEST_LABEL // 2 - 1]}…{label[-LONGEST_LABEL // 2 :]}"
