"""Frames to a file that plays: MP4, WebM, GIF, or a folder of PNGs; whole or not at all.

Frames come in pieces (t, H, W, 3) and leave as they come: memory does not grow with the length of a video.
"""

from __future__ import annotations

import itertools
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
from modeling.media.spool import Spool

VideoFormat = Literal["mp4", "webm", "gif", "png"]
Pieces = NDArray[np.uint8] | Iterable[NDArray[np.uint8]]  # (T, H, W, 3), whole or in pieces of some frames
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


def write_video(path: Path, frames: Pieces, *, fps: float, form: VideoFormat = "mp4") -> int:
    """Write `frames`, RGB, to `path` (a folder for png), at `fps` frames a second; how many there were.

    `frames`: (T, H, W, 3), or pieces (t, H, W, 3) that are written as they come. H and W must be even for mp4 and webm
    (4:2:0). VideoError for frames that cannot be written; ModelingError where the disk refuses.
    """
    pictures = _checked(path, [frames] if isinstance(frames, np.ndarray) else frames, form)
    first = next(pictures, None)
    if first is None:
        raise VideoError(f"{path}: a video needs 1 frame or more")
    counted = _Counted(itertools.chain([first], pictures))
    if form == "png":
        _write_pngs(path, counted)
        return counted.count
    with temporary_beside(path, suffix=f".{form}") as temporary:
        try:
            _encode(temporary, counted, first.shape[0], first.shape[1], Fraction(fps).limit_denominator(1001), form)
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise  # a disk that refuses: temporary_beside says it in one line
            raise VideoError(f"{path} could not be encoded: {error}") from error
    return counted.count


class _Counted:
    """An iterator over frames (H, W, 3) that knows how many it has given."""

    def __init__(self, frames: Iterator[NDArray[np.uint8]]) -> None:
        self.frames, self.count = frames, 0

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for frame in self.frames:
            self.count += 1
            yield frame


def _checked(path: Path, pieces: Iterable[NDArray[np.uint8]], form: VideoFormat) -> Iterator[NDArray[np.uint8]]:
    """Single frames (H, W, 3) out of pieces, all of one size that `form` can hold."""
    size: tuple[int, int] | None = None
    for piece in pieces:
        if piece.ndim != 4 or piece.shape[-1] != 3:
            raise VideoError(f"{path}: frames must be (T, H, W, 3), not {piece.shape}")
        height, width = piece.shape[1:3]
        if form in ("mp4", "webm") and (height % 2 or width % 2):
            raise VideoError(f"{path}: {form} needs even sides, not {width}x{height}")
        if size is not None and size != (height, width):
            raise VideoError(f"{path}: frames change their size from {size[1]}x{size[0]} to {width}x{height}")
        size = height, width
        yield from piece


def _encode(
    path: Path, frames: Iterable[NDArray[np.uint8]], height: int, width: int, rate: Fraction, form: VideoFormat
) -> None:
    options = {"movflags": "+faststart"} if form == "mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(CODECS[form], rate=rate, options=OPTIONS[form])
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = height, width
        stream.pix_fmt = "pal8" if form == "gif" else "yuv420p"
        if form == "gif":
            with Spool(path.parent) as spool:
                for picture in _paletted(frames, spool, height, width, rate):
                    container.mux(stream.encode(picture))
        else:  # say what the colours are: players guess BT.601 or BT.709 by size otherwise
            stream.codec_context.color_range = 1  #   limited
            stream.codec_context.colorspace = 5  #    BT.601, what the RGB conversion uses
            for picture in _pictures(frames, rate):
                container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def _pictures(frames: Iterable[NDArray[np.uint8]], rate: Fraction) -> Iterator[av.VideoFrame]:
    for index, pixels in enumerate(frames):
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        picture.pts, picture.time_base = index, 1 / rate
        yield picture


def _paletted(
    frames: Iterable[NDArray[np.uint8]], spool: Spool, height: int, width: int, rate: Fraction
) -> Iterator[av.VideoFrame]:
    """Frames in 256 colours chosen for this clip: GIF's fixed palettes band skies and water visibly.

    Two passes over `spool`, because a filter graph that does it in one keeps the whole clip in memory.
    """
    for pixels in frames:
        spool.append(pixels)
    choosing = av.filter.Graph()
    source = choosing.add_buffer(width=width, height=height, format=av.VideoFormat("rgb24"), time_base=1 / rate)
    palettegen, sink = choosing.add("palettegen", "stats_mode=full"), choosing.add("buffersink")
    source.link_to(palettegen)
    palettegen.link_to(sink)
    choosing.configure()
    for picture in _pictures(spool, rate):
        source.push(picture)
    source.push(None)
    [palette] = _pulled(choosing)

    using = av.filter.Graph()
    source = using.add_buffer(width=width, height=height, format=av.VideoFormat("rgb24"), time_base=1 / rate)
    colours = using.add_buffer(
        width=palette.width, height=palette.height, format=av.VideoFormat(palette.format.name), time_base=1 / rate
    )
    use, sink = using.add("paletteuse", "dither=sierra2_4a"), using.add("buffersink")
    source.link_to(use, 0, 0)
    colours.link_to(use, 0, 1)
    use.link_to(sink)
    using.configure()
    palette.pts, palette.time_base = 0, 1 / rate
    colours.push(palette)
    colours.push(None)
    for picture in _pictures(spool, rate):
        source.push(picture)
        yield from _pulled(using)
    source.push(None)
    yield from _pulled(using)


def _pulled(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            picture = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        assert isinstance(picture, av.VideoFrame)
        yield picture


def _write_pngs(folder: Path, frames: Iterable[NDArray[np.uint8]]) -> None:
    if folder.exists() and not all(PNG_NAME.fullmatch(file.name) for file in folder.iterdir()):
        raise VideoError(f"{folder} holds other files than numbered PNGs, and would be replaced: choose another --out")
    with atomic_folder(folder) as temporary:
        files = []
        for index, pixels in enumerate(frames):
            done, data = cv2.imencode(".png", cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR))
            if not done:
                raise VideoError(f"{folder}: frame {index} could not be encoded as PNG")
            files.append(temporary / f"frame-{index}.png")
            files[-1].write_bytes(data.tobytes())
        digits = max(3, len(str(len(files) - 1)))  # known at the end: frames come as a stream
        for index, file in enumerate(files):
            file.rename(temporary / f"{index:0{digits}}.png")
