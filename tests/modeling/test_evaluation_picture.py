"""The picture of a report: drawn once, and anew when what it shows has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2

from modeling.evaluation.picture import draw


def report(last: float) -> dict[str, Any]:
    curves = {"model": {"psnr_per_frame": [20.0, None, last]}, "copied_frame": {"psnr_per_frame": [30.0, 25.0, 20.0]}}
    return {"protocol": {"context_frames": 1}, "curves": curves}


def test_a_picture_is_drawn_where_there_is_none_of_these_curves(tmp_path: Path) -> None:
    file = tmp_path / "report.png"
    assert draw(report(18.0), file)
    first, begun = file.read_bytes(), file.stat().st_mtime_ns
    height, width = cv2.imread(str(file)).shape[:2]
    assert height > 200 and width > 400
    assert draw(report(18.0), file)
    assert file.stat().st_mtime_ns == begun
    assert draw(report(10.0), file)
    assert file.read_bytes() != first
    draw(report(18.0), file)
    assert draw({**report(18.0), "few_curves": ["psnr_per_frame"]}, file)
    assert file.read_bytes() != first  # its title says (few)
    file.write_bytes(first[:100])  # damaged: without the comment
    assert draw(report(18.0), file)
    assert file.read_bytes() == first


def test_a_report_without_curves_has_no_picture(tmp_path: Path) -> None:
    file = tmp_path / "report.png"
    assert not draw({"protocol": {"context_frames": 1}, "curves": {"model": {"psnr_per_frame": [None]}}}, file)
    assert not file.exists()
