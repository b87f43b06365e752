"""The shard format: what is written comes back, and no damage goes unseen."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import db.shard_part
from db.shards import ClipRow, ShardError, ShardInfo, ShardReader, ShardWriter, write_shard

RECIPE = {"size": 8, "fps": "25"}


def row(number: int, length: int) -> ClipRow:
    return ClipRow(
        id=f"clip-{number}",
        video_id=f"video-{number // 2}",
        source_url=f"https://example.org/ø?{number}",
        licence="CC0",
        label="" if number % 2 else "Wasserfall ☂",
        start=number * 10.0,
        end=number * 10.0 + length / 25,
        fps=25.0,
        length=length,
    )


def frames(length: int, height: int = 8, width: int = 8, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (length, height, width, 3), dtype=np.uint8)


def write(
    path: Path, lengths: Sequence[int], height: int = 8, width: int = 8
) -> tuple[ShardInfo, list[NDArray[np.uint8]]]:
    clips = [frames(length, height, width, seed) for seed, length in enumerate(lengths)]
    info = write_shard(
        path,
        split="train",
        height=height,
        width=width,
        fps=25,
        recipe=RECIPE,
        rows=[row(number, length) for number, length in enumerate(lengths)],
        clips=clips,
    )
    return info, clips


def writer(path: Path, lengths: Sequence[int]) -> ShardWriter:
    return ShardWriter(
        path,
        split="train",
        height=8,
        width=8,
        fps=25,
        recipe=RECIPE,
        rows=[row(number, length) for number, length in enumerate(lengths)],
        tool_version="test",
    )


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
)
def test_what_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], height: int, width: int
) -> None:
    path = tmp_path_factory.mktemp("shard") / "train-00000.h5"
    info, clips = write(path, lengths, height, width)
    assert info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert info.bytes == path.stat().st_size
    assert info.frames == sum(lengths)
    assert info.clip_sha256 == tuple(hashlib.sha256(clip.tobytes()).hexdigest() for clip in clips)
    with ShardReader(path) as reader:
        assert reader.rows == info.rows == tuple(row(number, length) for number, length in enumerate(lengths))
        assert (reader.split, reader.height, reader.width, reader.fps) == ("train", height, width, 25.0)
        assert reader.damaged_clips() == []
        for number, clip in enumerate(clips):
            np.testing.assert_array_equal(reader.clip(number), clip)
            first = len(clip) // 2
            np.testing.assert_array_equal(reader.window(number, first, 1), clip[first : first + 1])
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_the_file_is_plain_hdf5_as_the_format_page_says(tmp_path: Path) -> None:
    path = tmp_path / "train-00000.h5"
    _, clips = write(path, [3, 5])
    with h5py.File(path) as file:
        assert file["frames"].chunks is None
        assert file["frames"].compression is None
        np.testing.assert_array_equal(file["frames"][:], np.concatenate(clips))
        assert file["clips/offset"][:].tolist() == [0, 3]
        assert file["clips/length"][:].tolist() == [3, 5]
        assert file["clips/label"].asstr()[:].tolist() == ["Wasserfall ☂", ""]
        assert file["clips/sha256"].dtype == "S64"
        assert file.attrs["colour"] == b"sRGB"
        assert file.attrs["codec"] == b"raw"


def test_a_window_is_a_copy_and_stays_inside_its_clip(tmp_path: Path) -> None:
    path = tmp_path / "train-00000.h5"
    _, clips = write(path, [4, 4])
    reader = ShardReader(path)
    window = reader.window(0, 0, 4)
    window[:] = 0
    np.testing.assert_array_equal(reader.clip(0), clips[0])
    for start, length in ((-1, 2), (1, 4), (0, 0), (4, 1)):
        with pytest.raises(IndexError, match="not all in clip 0"):
            reader.window(0, start, length)


def test_the_bytes_depend_on_the_content_alone(tmp_path: Path) -> None:
    """Other folder, other process, other time: the same file."""
    here, _ = write(tmp_path / "a.h5", [3, 7, 2])
    (tmp_path / "sub").mkdir()
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import importlib.util as u\n"
        "spec = u.spec_from_file_location('cases', sys.argv[2]); cases = u.module_from_spec(spec)\n"
        "sys.modules['cases'] = cases; spec.loader.exec_module(cases)\n"
        "from pathlib import Path; print(cases.write(Path(sys.argv[3]), [3, 7, 2])[0].sha256)"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", script, str(root), __file__, str(tmp_path / "sub" / "b.h5")]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert there == here.sha256


def test_a_clip_left_out_leaves_no_trace(tmp_path: Path) -> None:
    """The same bytes as if it had never been announced."""
    clips = [frames(length, seed=seed) for seed, length in enumerate((3, 9, 4))]
    for name, missing in (("first", {0}), ("middle", {1}), ("last", {2}), ("two", {0, 1})):
        with writer(tmp_path / f"{name}.h5", [3, 9, 4]) as shard:
            for number, clip in enumerate(clips):
                if number in missing:
                    shard.leave_out()
                else:
                    shard.write(clip)
            info = shard.close()
        kept = [number for number in range(3) if number not in missing]
        straight = write_shard(
            tmp_path / "straight.h5",
            split="train",
            height=8,
            width=8,
            fps=25,
            recipe=RECIPE,
            rows=[row(number, len(clips[number])) for number in kept],
            clips=[clips[number] for number in kept],
            tool_version="test",
        )
        assert (info.sha256, info.rows, info.frames) == (straight.sha256, straight.rows, straight.frames)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".h5"] * 5


def test_a_shard_without_any_clip_is_refused(tmp_path: Path) -> None:
    with writer(tmp_path / "a.h5", [3]) as shard:
        shard.leave_out()
        assert shard.written == 0
        with pytest.raises(IndexError):
            shard.leave_out()
        with pytest.raises(ShardError, match="clips were written"):
            shard.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [frames(4), frames(3, height=9), frames(3)[..., :1], frames(3).astype(np.float32), frames(3)[0]],
    ids=["length", "height", "channels", "type", "rank"],
)
def test_frames_other_than_announced_are_refused(tmp_path: Path, wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(ShardError, match="clip clip-0: got"), writer(tmp_path / "a.h5", [3]) as shard:
        shard.write(wrong)
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_shard_never_gets_its_name(tmp_path: Path) -> None:
    with writer(tmp_path / "a.h5", [3, 3]) as shard:
        shard.write(frames(3))
        with pytest.raises(ShardError, match="1 of 2 clips"):
            shard.close()
        assert not (tmp_path / "a.h5").exists()
    assert list(tmp_path.iterdir()) == []


def test_strided_and_reversed_frames_are_written_as_they_look(tmp_path: Path) -> None:
    wide = frames(3, width=16)
    with writer(tmp_path / "a.h5", [3, 3]) as shard:
        shard.write(wide[:, :, ::2])
        shard.write(wide[::-1, :, :8])
        shard.close()
    reader = ShardReader(tmp_path / "a.h5")
    np.testing.assert_array_equal(reader.clip(0), wide[:, :, ::2])
    np.testing.assert_array_equal(reader.clip(1), wide[::-1, :, :8])


def test_bytes_that_do_not_reach_the_disk_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite

    def bad(descriptor: int, data: memoryview, position: int) -> int:
        return real(descriptor, bytes(len(data)) if position else data, position)

    monkeypatch.setattr(db.shard_part.os, "pwrite", bad)
    with pytest.raises(ShardError, match="clip-0 did not reach the disk"):
        write(tmp_path / "a.h5", [3])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["posix_fallocate", "pwrite", "fsync"])
def test_a_full_disk_is_one_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(db.shard_part.os, step, full)
    with pytest.raises(OSError, match="No space left") as caught:
        write(tmp_path / "a.h5", [3])
    assert caught.value.errno == errno.ENOSPC
    assert str(tmp_path / ".a.h5") in str(caught.value.filename)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=False).returncode
    ):
        pytest.skip("a small file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("taken", [0, 200, 252, 256])
def test_a_really_full_disk(small_disk: Path, taken: int) -> None:
    (small_disk / "other").write_bytes(bytes(taken * 1024))
    with pytest.raises(OSError) as caught:
        write(small_disk / "a.h5", [2000])
    assert caught.value.errno == errno.ENOSPC
    assert [path.name for path in small_disk.iterdir()] == ["other"]


def test_a_truncated_file_is_an_error_wherever_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write(path, [3, 5])
    whole = path.read_bytes()
    cut = tmp_path / "cut.h5"
    for size in [0, 1, 7, 8, 9, 47, 48, *range(64, len(whole), 97), len(whole) - 1]:
        cut.write_bytes(whole[:size])
        with pytest.raises(ShardError) as caught:
            ShardReader(cut).rows  # noqa: B018
        assert str(cut) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_flipped_byte_in_the_frames_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write(path, [3, 5])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert ShardReader(path).damaged_clips() == ["clip-1"]


def test_damage_anywhere_is_found_and_never_hangs_or_crashes(tmp_path: Path) -> None:
    """A flipped bit in every 7th byte of what stands before the frames: an error, other content, or no effect."""
    path = tmp_path / "a.h5"
    info, _ = write(path, [3, 5])
    whole = path.read_bytes()
    outcomes = {"error": 0, "read": 0}
    for position in range(0, len(whole) - info.frames * 8 * 8 * 3, 7):
        data = bytearray(whole)
        data[position] ^= 1 << position % 8
        path.write_bytes(data)
        try:
            with ShardReader(path) as reader:
                reader.damaged_clips()
            outcomes["read"] += 1
        except ShardError as error:
            assert str(path) in str(error)
            outcomes["error"] += 1
    assert min(outcomes.values()) > 0


def test_other_schema_versions_codecs_and_layouts_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write(path, [3])
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 2
    with pytest.raises(ShardError, match="schema version 2, this version of stillflow reads 1"):
        ShardReader(path).rows  # noqa: B018
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 1
        file.attrs["codec"] = "webp"
    with pytest.raises(ShardError, match="codec 'webp' is not known"):
        ShardReader(path).rows  # noqa: B018
    with h5py.File(path, "r+") as file:
        file.attrs["codec"] = "raw"
        del file["frames"]
        file.create_dataset("frames", data=frames(3), chunks=(1, 8, 8, 3))
    with pytest.raises(ShardError, match="not one contiguous"):
        ShardReader(path).rows  # noqa: B018
    with h5py.File(path, "r+") as file:
        del file["clips/label"]
    with pytest.raises(ShardError):
        ShardReader(path).rows  # noqa: B018


def test_what_is_no_shard_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no such shard"):
        ShardReader(tmp_path / "gone.h5").rows  # noqa: B018
    with pytest.raises(ShardError, match="no such shard"):
        ShardReader(tmp_path).rows  # noqa: B018
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(ShardError, match="not a readable shard"):
        ShardReader(tmp_path / "text.h5").rows  # noqa: B018
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(ShardError, match="schema version None"):
        ShardReader(tmp_path / "other.h5").rows  # noqa: B018


def test_a_reader_can_be_pickled_open_and_is_small(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    _, clips = write(path, [50])
    reader = ShardReader(path)
    np.testing.assert_array_equal(reader.clip(0), clips[0])
    sent = pickle.dumps(reader)
    assert len(sent) < 500
    np.testing.assert_array_equal(pickle.loads(sent).clip(0), clips[0])


def _digest_of(reader: ShardReader) -> str:
    return hashlib.sha256(reader.clip(1).tobytes()).hexdigest()


def _send_digest(reader: ShardReader, pipe: object) -> None:
    pipe.send((_digest_of(reader), reader._pid == os.getpid()))  # type: ignore[attr-defined]


def test_a_forked_child_opens_the_file_for_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write(path, [3, 5])
    reader = ShardReader(path)
    expected = _digest_of(reader)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_send_digest, args=(reader, theirs))
    child.start()
    assert ours.poll(30)
    assert ours.recv() == (expected, True)
    child.join()
    assert _digest_of(reader) == expected


def test_a_reader_works_again_after_it_was_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    _, clips = write(path, [3, 5])
    reader = ShardReader(path)
    assert reader.frame_count == 8
    reader.close()
    np.testing.assert_array_equal(reader.clip(1), clips[1])
