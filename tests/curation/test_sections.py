"""Sections: planned as clips are, copied with the source's own times, and cut into the same clips as the whole file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.cutting.plan import ClipPlan, CutRecipe, plan
from curation.decode import rgb
from curation.downloading.section_reader import reading
from curation.downloading.sections import Range, planned_ranges, section_clip
from curation.errors import ErrorClass, StageError
from curation.probe import VideoInfo, probe
from curation.providers.ranges import LARGEST, SMALLEST, NotInParts, RangeFile
from tests.curation.download_cases import MakeVideo, lengthened

RECIPE = CutRecipe(length=1.0, max_clips=3, margin=1.0, spacing=1.0)


class Web(RangeFile):
    """A file that is read by ranges, with what was asked for."""

    def __init__(self, data: bytes) -> None:
        self.asked: list[tuple[int, int]] = []

        def get(first: int, end: int) -> bytes:
            assert 0 <= first < end <= len(data)
            self.asked.append((first, end))
            return data[first:end]

        super().__init__(get, len(data))

    @property
    def bytes(self) -> int:
        return sum(end - first for first, end in self.asked)


def pictures(path: Path, clip: ClipPlan) -> list[str]:
    return [hashlib.sha256(frame.tobytes()).hexdigest() for frame in rgb(path, clip.start_pts, clip.end_pts)]


def remuxed(source: Path, target: Path, *, format: str | None = None, skip: int = 0, **options: str) -> Path:
    """The same packets in another container, without the first `skip` of them."""
    with av.open(str(source)) as read, av.open(str(target), "w", format=format, options=options) as written:
        stream = read.streams.video[0]
        copy = written.add_stream_from_template(stream)
        for packet in read.demux(stream):
            if packet.size and not (skip and (packet.dts or 0) < skip):
                packet.stream = copy
                written.mux(packet)
    return target


def plain(make: MakeVideo, folder: Path) -> Path:
    return make(folder / "a.mp4", frames=300, gop=40)


def variable_rate(make: MakeVideo, folder: Path) -> Path:
    return make(folder / "a.mp4", frames=300, gop=40, pts=[i * 40 + (i % 3) * 7 for i in range(300)])


def without_b_frames(make: MakeVideo, folder: Path) -> Path:
    return make(folder / "a.mp4", frames=300, gop=25, bframes=0, fps=30)


def odd_rate(make: MakeVideo, folder: Path) -> Path:
    path = folder / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(30000, 1001), options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = 20
        for number in range(360):
            pixels = np.full((48, 64, 3), number % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def fragmented(make: MakeVideo, folder: Path) -> Path:
    flags = "frag_keyframe+empty_moov+default_base_moof+global_sidx"
    return remuxed(plain(make, folder), folder / "fragmented.mp4", movflags=flags)


def head_at_the_end(make: MakeVideo, folder: Path) -> Path:
    return remuxed(plain(make, folder), folder / "moved.mp4")


def head_at_the_start(make: MakeVideo, folder: Path) -> Path:
    return remuxed(plain(make, folder), folder / "moved.mp4", movflags="faststart")


def begins_late(make: MakeVideo, folder: Path) -> Path:
    """Its first frame has a time well above 0."""
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof+frag_discont", "use_editlist": "0"}
    return remuxed(plain(make, folder), folder / "late.mp4", avoid_negative_ts="disabled", skip=19000, **options)


def webm(make: MakeVideo, folder: Path) -> Path:
    path = folder / "a.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=25, options={"deadline": "realtime", "cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = 25
        for number in range(250):
            pixels = np.full((48, 64, 3), number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


KINDS = (
    plain,
    variable_rate,
    without_b_frames,
    odd_rate,
    fragmented,
    head_at_the_end,
    head_at_the_start,
    begins_late,
    webm,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_sections_are_the_clips_of_the_whole_file(
    make_video: MakeVideo, tmp_path: Path, kind: Callable[[MakeVideo, Path], Path]
) -> None:
    path = kind(make_video, tmp_path)
    whole = probe(path)
    clips = plan(whole, RECIPE)
    assert len(clips) == 3
    with reading(Web(path.read_bytes())) as reader:
        source = reader.source(exactly=True)
        assert (source.first_pts, source.time_base) == (int(whole.pts[0]), whole.time_base)
        assert source.duration == whole.duration
        ranges = planned_ranges(source.duration, RECIPE)
        for wanted, clip in zip(ranges, clips, strict=True):
            target = tmp_path / f"{wanted.index}.mp4"
            assert reader.write(wanted, target)
            info = probe(target)
            assert info.time_base == whole.time_base
            assert (info.width, info.height, info.codec) == (whole.width, whole.height, whole.codec)
            # Through the floats of a section's row, as the catalogue keeps it.
            again = Range(index=wanted.index, start=Fraction(clip.start), end=Fraction(clip.end))
            for each in (wanted, again):
                found = section_clip(info, each, index=clip.index, first_pts=source.first_pts, own_file=True)
                assert found == ClipPlan(**(vars(clip) | {"section_index": wanted.index}))
            low, high = np.searchsorted(whole.pts, [clip.start_pts, clip.end_pts])
            held = info.pts[(info.pts >= clip.start_pts) & (info.pts < clip.end_pts)]
            assert held.tolist() == whole.pts[low:high].tolist()
            assert pictures(target, clip) == pictures(path, clip)


def test_a_section_from_the_first_frame_on_and_one_to_the_last(make_video: MakeVideo, tmp_path: Path) -> None:
    path = plain(make_video, tmp_path)
    whole = probe(path)
    with reading(Web(path.read_bytes())) as reader:
        source = reader.source(exactly=False)
        for number, (start, end) in enumerate([(0, 1), (11, 12), (11, 99)]):
            wanted = Range(index=number, start=Fraction(start), end=Fraction(end))
            target = tmp_path / f"{number}.mp4"
            assert reader.write(wanted, target)
            clip = section_clip(probe(target), wanted, index=0, first_pts=source.first_pts, own_file=True)
            assert clip == section_clip(whole, wanted, index=0, first_pts=source.first_pts, own_file=False) or (
                clip is not None and clip.section_index == number
            )
            assert clip is not None
            assert (clip.start, clip.end, clip.frame_count) == (start, min(end, 12), 25)
            assert clip.short is (end > 12)
            assert pictures(target, clip) == pictures(path, clip)


def test_a_range_behind_the_end_has_no_file(make_video: MakeVideo, tmp_path: Path) -> None:
    with reading(Web(plain(make_video, tmp_path).read_bytes())) as reader:
        target = tmp_path / "none.mp4"
        assert not reader.write(Range(index=0, start=Fraction(50), end=Fraction(60)), target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4"]


def test_rotation_is_kept(make_video: MakeVideo, tmp_path: Path) -> None:
    plain(make_video, tmp_path)
    path = tmp_path / "turned.mp4"
    with av.open(str(tmp_path / "a.mp4")) as read, av.open(str(path), "w") as written:
        copy = written.add_stream_from_template(read.streams.video[0])
        copy.set_display_rotation(90)
        for packet in read.demux(video=0):
            if packet.size:
                packet.stream = copy
                written.mux(packet)
    whole = probe(path)
    assert (whole.rotation, whole.width, whole.height) != (0, 64, 48)
    with reading(Web(path.read_bytes())) as reader:
        assert reader.write(Range(index=0, start=Fraction(3), end=Fraction(4)), tmp_path / "0.mp4")
    info = probe(tmp_path / "0.mp4")
    assert (info.rotation, info.width, info.height) == (whole.rotation, whole.width, whole.height)


def test_only_what_is_read_is_asked_for(make_video: MakeVideo, tmp_path: Path) -> None:
    """Far below the file, and about what the index says; the audio and all else stays where it is."""
    short = make_video(tmp_path / "short.mp4", frames=100, height=96, width=128, fps=10, gop=20)
    path = lengthened(short, tmp_path / "a.mp4", 30)
    size = path.stat().st_size
    web = Web(path.read_bytes())
    with reading(web) as reader:
        ranges = planned_ranges(reader.source(exactly=True).duration, CutRecipe(length=2, max_clips=5))
        head = web.bytes
        expected = reader.bytes_of(ranges)
        for wanted in ranges:
            assert reader.write(wanted, tmp_path / f"{wanted.index}.mp4")
    assert expected is not None and web.bytes - head <= expected
    assert web.bytes < 0.3 * size
    assert len(web.asked) == len({first for first, _ in web.asked}), "a byte was asked for twice"


def test_what_reading_raises_goes_out_as_it_is(make_video: MakeVideo, tmp_path: Path) -> None:
    data = plain(make_video, tmp_path).read_bytes()
    broken_at = len(data) // 3

    def get(first: int, end: int) -> bytes:
        if end > broken_at > first or (first > broken_at and end < len(data)):
            raise ConnectionResetError("in the middle")
        return data[first:end]

    file = RangeFile(get, len(data))
    with pytest.raises(ConnectionResetError), reading(file) as reader:
        for start in range(10):
            reader.write(Range(index=0, start=Fraction(start), end=Fraction(start + 1)), tmp_path / "0.mp4")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_what_cannot_be_kept_is_fetched_whole(make_video: MakeVideo, tmp_path: Path) -> None:
    # Matroska does not state decode times of H.264 with B-frames.
    path = remuxed(plain(make_video, tmp_path), tmp_path / "a.mkv")
    with pytest.raises(NotInParts, match="do not say when"), reading(Web(path.read_bytes())) as reader:
        reader.write(Range(index=0, start=Fraction(3), end=Fraction(4)), tmp_path / "0.mp4")
    assert not (tmp_path / "0.mp4").exists()


@pytest.mark.parametrize("data", [b"<html>no video</html>" * 50, b"\0" * 5000])
def test_no_video(data: bytes) -> None:
    with pytest.raises(StageError) as raised, reading(Web(data)):
        pass
    assert raised.value.error_class in (ErrorClass.CORRUPT, ErrorClass.UNSUPPORTED)


def test_damaged_frames_are_not_taken(make_video: MakeVideo, tmp_path: Path) -> None:
    path = plain(make_video, tmp_path)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        places = [(packet.pos, packet.size) for packet in packets if 100 <= (packet.dts or 0) / 512 <= 110]
    for position, size in places:
        data[position : position + size] = b"\xff" * size
    with reading(Web(bytes(data))) as reader, pytest.raises(StageError) as raised:
        reader.write(Range(index=0, start=Fraction(4), end=Fraction(5)), tmp_path / "0.mp4")
    assert raised.value.error_class is ErrorClass.CORRUPT
    assert not (tmp_path / "0.mp4").exists()


def video(pts: list[int], last: int) -> VideoInfo:
    return VideoInfo(
        path=Path("a.mp4"),
        pts=np.array(pts, np.int64),
        end_pts=last,
        time_base=Fraction(1, 600),
        width=64,
        height=48,
        rotation=0,
        codec="h264",
    )


@given(
    steps=st.lists(st.integers(1, 60), min_size=1, max_size=120),
    first=st.integers(-500, 5000),
    start=st.integers(0, 40),
    length=st.integers(1, 40),
)
def test_a_sections_clip_is_that_of_an_obvious_search(steps: list[int], first: int, start: int, length: int) -> None:
    """Against a scan of all frames; times in tenths of a second, as a list of ranges states them."""
    pts = [first + sum(steps[:index]) for index in range(len(steps))]
    info = video(pts, pts[-1] + steps[-1])
    wanted = Range(index=3, start=Fraction(start / 10), end=Fraction((start + length) / 10))
    low, high = first + start * 60, first + (start + length) * 60
    inside = [each for each in pts if low <= each < high]
    clip = section_clip(info, wanted, index=0, first_pts=first, own_file=True)
    if not inside:
        assert clip is None
    else:
        assert clip is not None
        assert (clip.start_pts, clip.end_pts, clip.frame_count) == (inside[0], min(high, info.end_pts), len(inside))
        assert clip.start == float(Fraction(inside[0] - first, 600))


@given(
    data=st.binary(min_size=1, max_size=3000).map(lambda seed: (seed * 200)[:250_000]),
    reads=st.lists(st.tuples(st.integers(0, 260_000), st.integers(0, 70_000)), max_size=20),
    expected=st.tuples(st.integers(0, 250_000), st.integers(0, 250_000)),
)
def test_a_range_file_reads_like_a_file(data: bytes, reads: list[tuple[int, int]], expected: tuple[int, int]) -> None:
    file = Web(data)
    file.expect(*expected)
    for position, size in reads:
        file.seek(position)
        got = bytearray()
        while len(got) < size and (piece := file.read(size - len(got))):
            got += piece
        assert bytes(got) == data[position : position + size]
        assert file.tell() == position + len(got) or position > len(data)
    asked = sorted(file.asked)
    assert all(one[1] <= other[0] for one, other in pairwise(asked)), "a byte twice"
    assert all(end - first <= max(LARGEST, SMALLEST) for first, end in asked)


def test_nothing_is_planned_where_most_would_be_fetched() -> None:
    recipe = CutRecipe(length=10, max_clips=20, margin=20, spacing=5)
    assert planned_ranges(Fraction(300), recipe) == []
    assert planned_ranges(Fraction(8), recipe) == []
    assert len(planned_ranges(Fraction(3600), recipe)) == 20
