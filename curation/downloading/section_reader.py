"""Copies sections out of a video that is read over the web, into files that keep the source's timestamps.

Packets are copied, not re-encoded, from the key frame at or before a section's start on, so that times and pictures
are those of the whole file. A fragmented MP4 states the decode time of its first packet as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

import av
from av.container import InputContainer, OutputContainer
from av.stream import Discard
from av.video.stream import VideoStream

from curation.decode import decode
from curation.downloading.sections import Range, Source
from curation.errors import ErrorClass, StageError
from curation.providers.ranges import NotInParts, RangeFile
from db.files import replacing

MARGINS_SECONDS = (0, 10)  # earlier, where seeking lands behind the wanted frame (as in curation.decode)
TAIL_SECONDS = (2, 30)  # before the stated end, to find the last frame
MUXER = {
    "movflags": "empty_moov+default_base_moof+frag_keyframe+frag_discont",
    "use_editlist": "0",
    "avoid_negative_ts": "disabled",
}


class _LandedLate(Exception):
    """Seeking led behind the wanted frame."""


class _NoFrames(Exception):
    """The video has no frame in the range."""


@contextlib.contextmanager
def reading(file: RangeFile) -> Iterator[SectionReader]:
    """Open a video. What reading it raised goes out as it is; else `StageError` (corrupt) or `NotInParts`."""
    try:
        # The types know of no input that is read through a Python object.
        with av.open(cast(BinaryIO, file), "r", metadata_errors="ignore") as container:
            if not container.streams.video:
                raise StageError(ErrorClass.UNSUPPORTED, "no video in this file")
            yield SectionReader(file, container, container.streams.video[0])
    except av.error.FFmpegError as error:
        raise file.failure or StageError(ErrorClass.CORRUPT, error.strerror or str(error)) from None


class SectionReader:
    """An opened video of which sections are wanted."""

    def __init__(self, file: RangeFile, container: InputContainer, stream: VideoStream) -> None:
        if stream.time_base is None or stream.time_base.numerator != 1:
            raise NotInParts("its time base cannot be kept")
        for other in container.streams:
            if other is not stream:
                other.discard = Discard.all
        self._file = file
        self._container = container
        self._stream = stream
        self._time_base: Fraction = stream.time_base
        # Where the head lists every frame, it tells each one's place in the file.
        self._indexed = 0 < stream.frames == len(stream.index_entries)
        self._first_pts = self._find_first()

    def source(self, *, exactly: bool) -> Source:
        """The stream's facts; `exactly`: its duration is read from its last packets where the head does not list them.

        Raises `NotInParts` where it does not even say about how long it is.
        """
        stream = self._stream
        if self._indexed and stream.duration:
            duration = stream.duration * self._time_base
        elif not self._container.duration:
            raise NotInParts("it does not say how long it is")
        else:
            duration = Fraction(self._container.duration, av.time_base)
            if exactly:
                duration = (self._find_end(duration) - self._first_pts) * self._time_base
        return Source(
            first_pts=self._first_pts,
            time_base=self._time_base,
            duration=duration,
            fps=float(stream.average_rate) if stream.average_rate else None,
            frames=stream.frames or None,
        )

    def bytes_of(self, ranges: Sequence[Range]) -> int | None:
        """About how many bytes the ranges take; None where the head does not tell."""
        total = reached = 0
        for extent in sorted(found for each in ranges if (found := self._extent(each)) is not None):
            total += max(0, extent[1] - max(extent[0], reached))
            reached = max(reached, extent[1])
        return total or None

    def write(self, wanted: Range, target: Path) -> bool:
        """Copy a range to `target`, whole or not at all; False if the video has no frame in it.

        Raises `StageError` (corrupt) if a frame of it does not decode, and `NotInParts` if it cannot be copied.
        """
        for margin in MARGINS_SECONDS:
            with contextlib.suppress(_LandedLate):
                return self._copy_and_check(wanted, target, margin)
        raise NotInParts("its key frames are not where seeking looks for them")

    def _copy_and_check(self, wanted: Range, target: Path, margin: int) -> bool:
        with contextlib.suppress(_NoFrames), replacing(target) as temporary:
            frames, end_pts = self._copy(wanted, temporary, margin)
            decoded = [frame.pts for frame in decode(temporary, frames[0], end_pts)]
            if decoded != frames:
                raise StageError(
                    ErrorClass.CORRUPT,
                    f"only {len(decoded)} of the {len(frames)} frames from {float(wanted.start):.2f} s on decode",
                )
            return True
        return False

    def _copy(self, wanted: Range, target: Path, margin: int) -> tuple[list[int], int]:
        """Copy the packets that a range needs. Returns the times of its frames, in order, and its end."""
        start_tick = wanted.start_tick(self._first_pts, self._time_base)
        extent = self._extent(wanted)
        if extent is not None:
            self._file.expect(*extent)
        self._container.seek(start_tick - round(margin / self._time_base), stream=self._stream, backward=True)
        with self._opened(target) as output:
            copy = output.streams.video[0]
            times: list[int] = []
            start_pts: int | None = None
            end_pts: int | None = None
            last_end = 0
            for pts, dts, packet in self._packets():
                if not times and not packet.is_keyframe:
                    continue
                if not times and pts > start_tick:
                    raise _LandedLate
                # Later packets are shown no earlier than they are decoded: nothing of the range comes after this.
                if end_pts is not None and dts >= end_pts:
                    break
                times.append(start_tick - 1 if packet.is_discard else pts)
                last_end = max(last_end, pts + (packet.duration or 0))
                if not packet.is_discard and pts >= start_tick and (start_pts is None or pts < start_pts):
                    start_pts = pts
                    end_pts = wanted.end_tick(pts, self._first_pts, self._time_base)
                packet.stream = copy
                output.mux(packet)
            else:
                end_pts = last_end if end_pts is None else min(end_pts, max(last_end, 1 + max(times, default=0)))
        frames = sorted(pts for pts in times if start_pts is not None and start_pts <= pts < end_pts)
        if start_pts is None or not frames:
            raise _NoFrames
        return frames, end_pts

    @contextlib.contextmanager
    def _opened(self, target: Path) -> Iterator[OutputContainer]:
        options = MUXER | {"video_track_timescale": str(self._time_base.denominator)}
        with av.open(str(target), "w", format="mp4", options=options) as output:
            try:
                output.add_stream_from_template(self._stream).time_base = self._time_base
                output.start_encoding()
            except (ValueError, av.error.FFmpegError):
                raise NotInParts(f"its codec ({self._stream.codec_context.name}) cannot be copied to MP4") from None
            yield output

    def _packets(self) -> Iterator[tuple[int, int, av.Packet[VideoStream]]]:
        """(pts, dts, packet) from here on. A broken connection never looks like the end."""
        for packet in self._container.demux(self._stream):
            if packet.size == 0:
                break
            if packet.pts is None or packet.dts is None:
                raise NotInParts("its packets do not say when they are decoded")
            yield packet.pts, packet.dts, packet
        if self._file.failure is not None:
            raise self._file.failure

    def _find_first(self) -> int:
        first: int | None = None
        for pts, dts, packet in self._packets():
            if first is not None and dts >= first:
                break
            if not packet.is_discard:
                first = pts if first is None else min(first, pts)
        if first is None:
            raise StageError(ErrorClass.CORRUPT, "its video stream has no frames")
        return first

    def _find_end(self, stated: Fraction) -> int:
        """The end of the last frame, looked for where the video is said to end."""
        for before in TAIL_SECONDS:
            wanted = self._first_pts + round(max(Fraction(0), stated - before) / self._time_base)
            self._container.seek(wanted, stream=self._stream, backward=True)
            ends = [pts + (packet.duration or 0) for pts, _, packet in self._packets()]
            if ends:
                return max(ends)
        raise NotInParts("its end is not where it says")

    def _extent(self, wanted: Range) -> tuple[int, int] | None:
        """The first byte and the last (exclusive) of a range; None where the head does not tell."""
        if not self._indexed:
            return None
        entries = self._stream.index_entries
        start = wanted.start_tick(self._first_pts, self._time_base)
        first = entries.search_timestamp(start, backward=True)
        last = entries.search_timestamp(
            wanted.end_tick(start, self._first_pts, self._time_base), backward=False, any_frame=True
        )
        last = len(entries) - 1 if last < 0 else last
        if first < 0 or last < first:
            return None
        return entries[first].pos, entries[last].pos + entries[last].size
