"""Shards of JPEG frames, with extras and masks beside them: what is written comes back, and no damage goes unseen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.shards import (
    ClipRow,
    Codec,
    ExtraType,
    Frames,
    ShardError,
    ShardReader,
    ShardWriter,
    Side,
    SideLayout,
    decode_jpeg,
)

EXTRAS = {"action": ExtraType(dtype="<f4", shape=(4,)), "step": ExtraType(dtype="<i8", shape=())}
CodecName = Literal["raw", "jpeg"]


def waves(length: int, seed: int, size: int = 16) -> Frames:
    """(length, size, size, 3), smooth as footage is."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (length, 4, 4, 3), dtype=np.uint8)
    return np.stack([cv2.resize(frame, (size, size), interpolation=cv2.INTER_CUBIC) for frame in coarse])


def row(number: int, length: int, *, beside: bool = True) -> ClipRow:
    return ClipRow(
        id=f"clip-{number}",
        video_id=f"video-{number}",
        source_url="https://example.org",
        start=0.0,
        end=length / 25,
        fps=25.0,
        length=length,
        side=hashlib.sha256(str(number).encode()).hexdigest() if beside else "",
    )


def side(number: int, length: int, masked: Sequence[int], size: int = 16) -> Side:
    rng = np.random.default_rng(number)
    return Side(
        extras={
            "action": rng.standard_normal((length, 4)).astype("<f4"),
            "step": np.arange(length, dtype="<i8") + 1000 * number,
        },
        mask_frames=tuple(masked),
        labels=rng.integers(0, 9, (len(masked), size, size), dtype=np.uint8),
    )


def write(
    path: Path, lengths: Sequence[int], masked: Sequence[Sequence[int]], codec: CodecName, missing: Sequence[int] = ()
) -> list[tuple[Frames, Side]]:
    clips = [(waves(length, number), side(number, length, masked[number])) for number, length in enumerate(lengths)]
    with ShardWriter(
        path,
        split="train",
        height=16,
        width=16,
        fps=25,
        recipe={"size": 16},
        rows=[row(number, length) for number, length in enumerate(lengths)],
        tool_version="test",
        codec=Codec(name=codec),
        side=SideLayout(extras=EXTRAS, masks=[len(frames) for frames in masked]),
    ) as writer:
        for number, (frames, beside) in enumerate(clips):
            if number in missing:
                writer.leave_out()
            else:
                writer.write(frames, beside)
        writer.close()
    return [clip for number, clip in enumerate(clips) if number not in missing]


@st.composite
def shards(draw: st.DrawFn) -> tuple[list[int], list[list[int]], list[int]]:
    """Lengths of clips, their masked frames, and the clips that are left out, never all of them."""
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=5))
    masked = [sorted(draw(st.sets(st.integers(0, length - 1), max_size=4))) for length in lengths]
    missing = draw(st.sets(st.integers(0, len(lengths) - 1), max_size=len(lengths) - 1))
    return lengths, masked, sorted(missing)


@settings(max_examples=40, deadline=None)
@given(shards(), st.sampled_from(["raw", "jpeg"]))
def test_what_is_written_comes_back_and_what_is_left_out_leaves_no_trace(
    tmp_path_factory: pytest.TempPathFactory, shard: tuple[list[int], list[list[int]], list[int]], codec: CodecName
) -> None:
    lengths, masked, missing = shard
    folder = tmp_path_factory.mktemp("shard")
    clips = write(folder / "a.h5", lengths, masked, codec, missing)
    with ShardReader(folder / "a.h5") as reader:
        assert reader.damaged_clips() == []
        assert (reader.codec, reader.extras, reader.frame_shape) == (codec, ("action", "step"), (16, 16, 3))
        kept = [number for number in range(len(lengths)) if number not in missing]
        assert reader.rows == tuple(row(number, lengths[number]) for number in kept)
        for place, (frames, beside) in enumerate(clips):
            found = reader.clip(place)
            if codec == "raw":
                np.testing.assert_array_equal(found, frames)
            else:
                assert np.abs(found.astype(int) - frames).mean() < 4
            length = len(frames)
            half = length // 2
            np.testing.assert_array_equal(reader.window(place, half, length - half), found[half:])
            for name in EXTRAS:
                np.testing.assert_array_equal(reader.extra(name, place, half, 1), beside.extras[name][half : half + 1])
            assert reader.masked_frames(place) == tuple(beside.mask_frames)
            for frame, labels in zip(beside.mask_frames, beside.labels, strict=True):
                np.testing.assert_array_equal(reader.labels(place, frame), labels)
            unmasked = set(range(length)) - set(beside.mask_frames)
            for frame in (*sorted(unmasked)[:1], -1, length):
                with pytest.raises(KeyError):
                    reader.labels(place, frame)
    assert [path.name for path in folder.iterdir()] == ["a.h5"]
    if missing:
        straight = folder / "b.h5"
        again = [(lengths[number], masked[number]) for number in kept]
        with ShardWriter(
            straight,
            split="train",
            height=16,
            width=16,
            fps=25,
            recipe={"size": 16},
            rows=[row(number, lengths[number]) for number in kept],
            tool_version="test",
            codec=Codec(name=codec),
            side=SideLayout(extras=EXTRAS, masks=[len(frames) for _, frames in again]),
        ) as writer:
            for frames, beside in clips:
                writer.write(frames, beside)
            writer.close()
        assert straight.read_bytes() == (folder / "a.h5").read_bytes()


def test_a_jpeg_shard_is_plain_hdf5_as_the_format_page_says(tmp_path: Path) -> None:
    path = tmp_path / "train-00000.h5"
    clips = write(path, [3, 5], [[1], [0, 4]], "jpeg")
    with h5py.File(path) as file:
        assert file.attrs["codec"] == b"jpeg"
        assert "frames" not in file
        data, offsets = file["frames_encoded"][:], file["frame_offset"][:]
        assert (data.dtype, offsets.dtype, len(offsets), offsets[-1]) == (np.uint8, np.int64, 9, len(data))
        for index, frame in enumerate(np.concatenate([frames for frames, _ in clips])):
            image = decode_jpeg(data[offsets[index] : offsets[index + 1]])
            assert np.abs(image.astype(int) - frame).mean() < 4
        assert file["clips/sha256"][1].decode() == hashlib.sha256(data[offsets[3] :].tobytes()).hexdigest()
        assert file["masks/frame"][:].tolist() == [1, 3, 7]
        np.testing.assert_array_equal(file["masks/labels"][:], np.concatenate([side.labels for _, side in clips]))
        np.testing.assert_array_equal(file["extras/action"][3:], clips[1][1].extras["action"])
        assert file["clips/side"].dtype == file["clips/side_sha256"].dtype == "S64"
        names = ["extras/action", "extras/step", "masks/frame", "masks/labels", "frame_offset", "frames_encoded"]
        assert all(file[name].chunks is None for name in names)


def test_chroma_is_kept_whole(tmp_path: Path) -> None:
    """A red and blue chequerboard of single pixels would be one purple with 4:2:0."""
    path = tmp_path / "train-00000.h5"
    frame = np.zeros((16, 16, 3), np.uint8)
    frame[(np.indices((16, 16)).sum(0) % 2) == 0] = (220, 20, 20)
    frame[(np.indices((16, 16)).sum(0) % 2) == 1] = (20, 20, 220)
    with ShardWriter(
        path,
        split="train",
        height=16,
        width=16,
        fps=25,
        recipe={},
        rows=[row(0, 1, beside=False)],
        tool_version="test",
        codec=Codec(name="jpeg"),
    ) as writer:
        writer.write(frame[None])
        writer.close()
    assert np.abs(ShardReader(path).clip(0)[0].astype(int) - frame).max() < 30


@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_a_flipped_bit_anywhere_behind_the_head_names_the_clip(tmp_path: Path, codec: CodecName) -> None:
    path = tmp_path / "a.h5"
    write(path, [3, 5], [[1], [0, 4]], codec)
    whole = path.read_bytes()
    with h5py.File(path) as file:
        places = {
            "extras/action": [(0, "clip-0"), (-1, "clip-1")],
            "extras/step": [(8, "clip-0")],
            "masks/labels": [(5, "clip-0"), (300, "clip-1")],
            "frames" if codec == "raw" else "frames_encoded": [(40, "clip-0"), (-1, "clip-1")],
        }
        spans = {name: (file[name].id.get_offset(), file[name].nbytes) for name in places}
    for name, bytes_of_clips in places.items():
        start, size = spans[name]
        for place, clip in bytes_of_clips:
            data = bytearray(whole)
            data[start + place % size] ^= 4
            path.write_bytes(data)
            assert ShardReader(path).damaged_clips() == [clip], (name, place)
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        file["masks/frame"][1] = 5
    assert ShardReader(path).damaged_sides() == ["clip-1"]


def test_offsets_that_do_not_rise_and_masks_out_of_order_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write(path, [3, 5], [[1], [0, 4]], "jpeg")
    with h5py.File(path, "r+") as file:
        kept = file["frame_offset"][4]
        file["frame_offset"][4] = 0
    with pytest.raises(ShardError, match="frame offsets do not rise"):
        ShardReader(path).rows  # noqa: B018
    with h5py.File(path, "r+") as file:
        file["frame_offset"][4] = kept
        file["masks/frame"][0] = 7
    with pytest.raises(ShardError, match="masks do not stand at ascending frames"):
        ShardReader(path).rows  # noqa: B018
    with h5py.File(path, "r+") as file:
        del file["clips/side_sha256"]
        file["masks/frame"][0] = 1
    with pytest.raises(ShardError, match="have no hashes"):
        ShardReader(path).rows  # noqa: B018


def test_an_image_that_does_not_decode_is_one_line_that_names_the_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write(path, [3, 5], [[], []], "jpeg")
    with h5py.File(path, "r+") as file:
        first, end = file["frame_offset"][3:5]
        file["frames_encoded"][first:end] = 0
    reader = ShardReader(path)
    assert len(reader.window(0, 0, 3)) == 3
    with pytest.raises(ShardError, match=r"frame 3 is not a JPEG image; run: curate verify"):
        reader.window(1, 0, 1)


@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_a_truncated_file_is_an_error_wherever_it_ends(tmp_path: Path, codec: CodecName) -> None:
    path = tmp_path / "a.h5"
    write(path, [3, 5], [[1], [0, 4]], codec)
    whole = path.read_bytes()
    for size in [0, 9, *range(64, len(whole), 331), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(ShardError) as caught:
            ShardReader(path).rows  # noqa: B018
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Side(extras={"action": np.zeros((3, 4), "<f4")}), "has extras ['action'], announced were"),
        (Side(extras={**side(0, 3, []).extras, "step": np.zeros(3, "<f4")}), "extra step is (3,) float32"),
        (side(0, 4, []), "extra action is (4, 4)"),
        (side(0, 3, [0]), "has 1 masks, announced were 2"),
        (side(0, 3, [2, 1]), "not ascending frames"),
        (side(0, 3, [1, 3]), "not ascending frames"),
        (side(0, 3, [0, 1], size=8), "its masks are (2, 8, 8)"),
    ],
)
def test_other_than_announced_is_refused(tmp_path: Path, wrong: Side, said: str) -> None:
    with (
        pytest.raises(ShardError) as caught,
        ShardWriter(
            tmp_path / "a.h5",
            split="train",
            height=16,
            width=16,
            fps=25,
            recipe={},
            rows=[row(0, 3)],
            tool_version="test",
            side=SideLayout(extras=EXTRAS, masks=[2]),
        ) as writer,
    ):
        writer.write(waves(3, 0), wrong)
    assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_kept_is_no_extra() -> None:
    for dtype, shape in (("U5", ()), ("O", (2,)), ("<f4", (0, 2)), ("?", ()), ("<c8", ())):
        with pytest.raises(ValueError, match="integers or floats"):
            ExtraType(dtype=dtype, shape=shape)
    for name, quality in (("png", 95), ("jpeg", 0), ("jpeg", 101)):
        with pytest.raises(ValueError, match=r"neither|from 1 to 100"):
            Codec(name=name, quality=quality)  # type: ignore[arg-type]
