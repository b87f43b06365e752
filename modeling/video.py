"""Frames to a file that plays: MP4, WebM, GIF, or a folder of PNGs; whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import av.filter
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from modeling.errors import ModelingError
from modeling.files import atomic_folder, temporary_beside

VideoFormat = Literal["mp4", "webm", "gif", "png"]
FORMATS: tuple[VideoFormat, ...] = ("mp4", "webm", "gif", "png")

PNG_NAME = re.compile(r"\d{3,}\.png")
CODECS = {"mp4": "libx264", "webm": "libvpx-vp9", "gif": "gif"}
OPTIONS = {
    "mp4": {"crf": "17", "preset": "medium", "threads": "1"},  # visually lossless; one thread: the same bytes anywhere
    "webm": {"crf": "20", "b": "0", "deadline": "good", "cpu-used": "4", "threads": "1"},
    "gif": {},
}


class VideoError(ModelingError):
    """Frames that cannot be written as they were asked for."""


def output_path(folder: Path, stem: str, form: VideoFormat) -> Path:
    """Where `write_video` puts the video called `stem`: a file, or for png a folder of that name."""
    return folder / stem if form == "png" else folder / f"{stem}.{form}"


def write_video(path: Path, frames: NDArray[np.uint8], *, fps: float, form: VideoFormat = "mp4") -> None:
    """Write `frames` (T, H, W, 3) RGB to `path` (a folder for png), at `fps` frames a second.

    H and W must be even for mp4 and webm (4:2:0). VideoError for frames that cannot be written; ModelingError where
    the disk refuses.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) == 0:
        raise VideoError(f"{path}: frames must be (T, H, W, 3) with T of 1 or more, not {frames.shape}")
    if form in ("mp4", "webm") and (frames.shape[1] % 2 or frames.shape[2] % 2):
        raise VideoError(f"{path}: {form} needs even sides, not {frames.shape[2]}x{frames.shape[1]}")
    if form == "png":
        _write_pngs(path, frames)
        return
    with temporary_beside(path, suffix=f".{form}") as temporary:
        try:
            _encode(temporary, frames, Fraction(fps).limit_denominator(1001), form)
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise  # a disk that refuses: temporary_beside says it in one line
            raise VideoError(f"{path} could not be encoded: {error}") from error


def _encode(path: Path, frames: NDArray[np.uint8], rate: Fraction, form: VideoFormat) -> None:
    options = {"movflags": "+faststart"} if form == "mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(CODECS[form], rate=rate, options=OPTIONS[form])
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "pal8" if form == "gif" else "yuv420p"
        if form != "gif":  # say what the colours are: players guess BT.601 or BT.709 by size otherwise
            stream.codec_context.color_range = 1  #   limited
            stream.codec_context.colorspace = 5  #    BT.601, what the RGB conversion uses
        pictures = _paletted(frames, rate) if form == "gif" else _pictures(frames, rate)
        for picture in pictures:
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def _pictures(frames: NDArray[np.uint8], rate: Fraction) -> Iterator[av.VideoFrame]:
    for index, pixels in enumerate(frames):
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        picture.pts, picture.time_base = index, 1 / rate
        yield picture


def _paletted(frames: NDArray[np.uint8], rate: Fraction) -> Iterator[av.VideoFrame]:
    """Frames in 256 colours chosen for this clip: GIF's fixed palettes band skies and water visibly."""
    height, width = frames.shape[1:3]
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format=av.VideoFormat("rgb24"), time_base=1 / rate)
    split, palette = graph.add("split"), graph.add("palettegen", "stats_mode=full")
    use, sink = graph.add("paletteuse", "dither=sierra2_4a"), graph.add("buffersink")
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(palette, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    for picture in _pictures(frames, rate):
        source.push(picture)
    source.push(None)
    yield from _pulled(graph)


def _pulled(graph: av.filter.Graph) -> Iterable[av.VideoFrame]:
    while True:
        try:
            picture = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        assert isinstance(picture, av.VideoFrame)
        yield picture


def _write_pngs(folder: Path, frames: NDArray[np.uint8]) -> None:
    if folder.exists() and not all(PNG_NAME.fullmatch(file.name) for file in folder.iterdir()):
        raise VideoError(f"{folder} holds other files than numbered PNGs, and would be replaced: choose another --out")
    digits = max(3, len(str(len(frames) - 1)))
    with atomic_folder(folder) as temporary:
        for index, pixels in enumerate(frames):
            done, data = cv2.imencode(".png", cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR))
            if not done:
                raise VideoError(f"{folder}: frame {index} could not be encoded as PNG")
            (temporary / f"{index:0{digits}}.png").write_bytes(data.tobytes())
