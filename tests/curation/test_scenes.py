"""Scenes: the index against comparing all pairs, what is joined and what is not, and the catalogue's side of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from curation.commands import main
from curation.demo.encode import reupload_frames, write_video
from curation.scores.scenes import SceneSettings, cluster, repeats, unpacked, update_scenes
from db.engine import Catalogue, open_catalogue
from db.models import Clip, Fingerprint, Recipe, Video
from tests.curation.score_cases import HEIGHT, U8, WIDTH, foam, land

SIZE = 16  # bytes a hash
# Looks so hard that it cannot miss a pair: the twin below does not either.
EXACT = SceneSettings(tables=60, sample=4, neighbours=1000, novelty=0)


def hashes(count: int, rng: np.random.Generator) -> list[bytes]:
    return [rng.bytes(SIZE) for _ in range(count)]


def flipped(each: bytes, bits: int, rng: np.random.Generator) -> bytes:
    """A hash with so many of its bits changed."""
    value = np.unpackbits(np.frombuffer(each, np.uint8))
    value[rng.choice(len(value), bits, replace=False)] ^= 1
    return np.packbits(value).tobytes()


def split(fingerprint: bytes) -> list[int]:
    return [int.from_bytes(fingerprint[at : at + SIZE], "big") for at in range(0, len(fingerprint), SIZE)]


def alike(one: bytes, other: bytes, wanted: SceneSettings = EXACT) -> bool:
    """The rule, literally: some offset at which most seconds agree."""
    a, b = split(one), split(other)
    shorter = min(sum(map(bool, a)), sum(map(bool, b)))
    for offset in range(1 - len(b), len(a)):
        pairs = [(a[i], b[i - offset]) for i in range(len(a)) if 0 <= i - offset < len(b)]
        pairs = [(x, y) for x, y in pairs if x and y]
        near = sum((x ^ y).bit_count() <= wanted.distance for x, y in pairs)
        if pairs and len(pairs) >= wanted.overlap * shorter and near >= wanted.agree * len(pairs):
            return True
    return False


def all_pairs(fingerprints: Sequence[bytes]) -> list[int]:
    """Single linkage over all pairs, by painting."""
    labels = list(range(len(fingerprints)))
    for one in range(len(fingerprints)):
        for other in range(one):
            if alike(fingerprints[one], fingerprints[other]):
                old, new = max(labels[one], labels[other]), min(labels[one], labels[other])
                labels = [new if label == old else label for label in labels]
    return labels


@st.composite
def collections(draw: st.DrawFn) -> list[bytes]:
    """Clips of a few scenes: copies, cut later, noisy, with seconds that say nothing, of different lengths."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    made: list[bytes] = []
    for _ in range(draw(st.integers(1, 14))):
        if made and draw(st.booleans()):
            source = made[draw(st.integers(0, len(made) - 1))]
            seconds = [source[at : at + SIZE] for at in range(0, len(source), SIZE)]
            seconds = seconds[draw(st.integers(0, 3)) :] + hashes(draw(st.integers(0, 4)), rng)
            seconds = [flipped(each, draw(st.integers(0, 34)), rng) if any(each) else each for each in seconds]
        elif draw(st.booleans()):  # a camera that does not move
            seconds = hashes(1, rng) * draw(st.integers(1, 9))
        else:
            seconds = hashes(draw(st.integers(0, 9)), rng)
        silent = draw(st.integers(0, 9))
        made.append(b"".join(bytes(SIZE) if second == silent else each for second, each in enumerate(seconds)))
    return made


@settings(deadline=None, max_examples=60)
@given(collections())
def test_the_index_finds_what_all_pairs_find(fingerprints: list[bytes]) -> None:
    assert cluster(fingerprints, EXACT).tolist() == all_pairs(fingerprints)


def test_copies_among_thousands_are_found_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    clips = [hashes(9, rng) if index % 2 else hashes(1, rng) * 9 for index in range(3000)]
    copies = {index: int(rng.integers(0, 4)) for index in range(0, 3000, 10)}
    for index, later in copies.items():
        clips.append([flipped(each, 8, rng) for each in clips[index][later:]] + hashes(later, rng))
    labels = cluster([b"".join(clip) for clip in clips])
    found = [labels[3000 + number] == index for number, index in enumerate(copies)]
    assert np.mean(found) > 0.99
    assert len(set(labels.tolist())) == len(clips) - sum(found)


def test_a_camera_that_ran_for_hours_is_one_scene() -> None:
    """More clips than a crowded bucket is searched through, drifting slowly: the ends have little in common."""
    rng = np.random.default_rng(0)
    seconds, clips = hashes(1, rng)[0], []
    for _ in range(600):
        seconds = flipped(seconds, 1, rng)
        clips.append(b"".join(flipped(seconds, 2, rng) for _ in range(9)))
    assert not alike(clips[0], clips[-1])
    assert set(cluster(clips).tolist()) == {0}


def test_a_clip_with_a_cut_does_not_join_what_it_was_cut_from() -> None:
    rng = np.random.default_rng(0)
    one, other = hashes(1, rng), hashes(1, rng)
    clips = [one * 9, other * 9, one * 4 + hashes(1, rng) + other * 4]
    assert len(set(cluster([b"".join(clip) for clip in clips]).tolist())) == 3


def test_what_says_nothing_joins_nothing() -> None:
    rng = np.random.default_rng(0)
    silent = bytes(SIZE)
    clips = [silent * 9] * 5 + [b""] * 2 + [silent * 8 + hashes(1, rng)[0] for _ in range(3)]
    assert cluster(clips).tolist() == list(range(10))
    assert cluster([]).tolist() == []
    assert cluster([b"", b""]).tolist() == [0, 1]


def test_unpacked_pads_with_silence() -> None:
    words = unpacked([b"\0" * 7 + b"\1" + b"\0" * 7 + b"\2", b""])
    assert words.tolist() == [[[1, 2]], [[0, 0]]]


@pytest.mark.parametrize("wrong", [{"distance": 128}, {"agree": 0.0}, {"overlap": 1.5}, {"sample": 50}, {"tables": 0}])
def test_settings_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"distance|sample"):
        SceneSettings(**wrong)  # type: ignore[arg-type]


def add(catalogue: Catalogue, prints: dict[str, bytes], recipe: str = "f") -> None:
    """Clips with these ids, each of a video of its own."""
    with catalogue.writing() as session:
        for name in ("cut", recipe):
            session.merge(Recipe(hash=name.ljust(64, "0"), kind="score", settings={}))
        for name, made in prints.items():
            session.add(Video(id=f"v-{name}", provider="file", provider_id=name, source=name, state="downloaded"))
            session.flush()
            session.add(
                Clip(
                    id=name, video_id=f"v-{name}", recipe_hash="cut".ljust(64, "0"), index=0, start_pts=0, end_pts=250,
                    time_base_num=1, time_base_den=25, start=0, end=10, frame_count=250, state="scored",
                )
            )  # fmt: skip
            session.flush()
            session.add(Fingerprint(clip_id=name, hashes=made, settings_hash=recipe.ljust(64, "0")))


def scenes(catalogue: Catalogue) -> dict[str, str | None]:
    with catalogue.reading() as session:
        return {name: scene for name, scene in session.execute(select(Clip.id, Clip.scene))}


def test_a_scene_is_named_after_its_smallest_clip_and_grows(catalogue: Catalogue) -> None:
    rng = np.random.default_rng(0)
    one, other, third = (b"".join(hashes(1, rng)) * 9 for _ in range(3))
    add(catalogue, {"d": one, "b": other, "c": one})
    assert update_scenes(catalogue) == 3
    assert scenes(catalogue) == {"b": "b", "c": "c", "d": "c"}
    assert update_scenes(catalogue) == 0

    add(catalogue, {"a": one, "e": third})
    assert update_scenes(catalogue) == 4  # the new ones, and those that are named after the smallest
    assert scenes(catalogue) == {"a": "a", "b": "b", "c": "a", "d": "a", "e": "e"}
    with catalogue.reading() as session:
        assert repeats(session) == (3, 1)


def test_a_clip_that_joins_two_scenes_makes_them_one(catalogue: Catalogue) -> None:
    rng = np.random.default_rng(0)
    first, last = hashes(9, rng), hashes(3, rng)
    add(catalogue, {"a": b"".join(first), "b": b"".join(first[6:] + last + hashes(3, rng))})
    update_scenes(catalogue)
    assert scenes(catalogue) == {"a": "a", "b": "b"}  # three seconds in common are too few
    add(catalogue, {"c": b"".join(first[3:] + last)})
    update_scenes(catalogue)
    assert set(scenes(catalogue).values()) == {"a"}


def test_hashes_by_other_recipes_are_not_compared(catalogue: Catalogue) -> None:
    same = b"".join(hashes(1, np.random.default_rng(0))) * 9
    add(catalogue, {"a": same}, "old")
    add(catalogue, {"b": same, "c": same}, "new")
    update_scenes(catalogue)
    assert scenes(catalogue) == {"a": "a", "b": "b", "c": "b"}


def test_measured_again_it_finds_another_scene(catalogue: Catalogue) -> None:
    one, other = (b"".join(hashes(1, np.random.default_rng(seed))) * 9 for seed in range(2))
    add(catalogue, {"a": one, "b": one, "c": other})
    update_scenes(catalogue)
    with catalogue.writing() as session:
        session.execute(update(Fingerprint).where(Fingerprint.clip_id == "b").values(hashes=other))
        session.execute(update(Clip).where(Clip.id == "b").values(scene=None))
    update_scenes(catalogue)
    assert scenes(catalogue) == {"a": "a", "b": "b", "c": "b"}


def test_a_scene_whose_namesake_is_gone_gets_another_name(catalogue: Catalogue) -> None:
    same = b"".join(hashes(1, np.random.default_rng(0))) * 9
    add(catalogue, {"a": same, "b": same, "c": same})
    update_scenes(catalogue)
    with catalogue.writing() as session:
        session.execute(delete(Fingerprint).where(Fingerprint.clip_id == "a"))
        session.execute(delete(Clip).where(Clip.id == "a"))
    update_scenes(catalogue)
    assert scenes(catalogue) == {"b": "b", "c": "b"}


def test_another_upload_and_another_video(catalogue: Catalogue, tmp_path: Path) -> None:
    """All the way: two files of one river, one of them cropped, smaller, recoded, and a river of its own."""

    def river(name: str, seed: int) -> Path:
        rng = np.random.default_rng(seed)
        water = [foam(HEIGHT - 90, WIDTH, rng) for _ in range(9)]

        def picture(index: int) -> U8:
            whole = land(seed=seed)
            whole[90:] = water[index % len(water)]
            return np.asarray(cv2.GaussianBlur(whole, (0, 0), 0.7), np.uint8)

        pictures = [picture(index) for index in range(9)]
        path = tmp_path / name
        write_video(path, [(i / 25, pictures[i % 9]) for i in range(100)], size=(WIDTH, HEIGHT), fps=25)
        return path

    first, other = river("first.mp4", 1), river("other.mp4", 2)
    copy = tmp_path / "copy.mp4"
    write_video(copy, list(reupload_frames(first, (256, 144), 0.02)), size=(256, 144), fps=25, crf=30)
    folder = str(catalogue.folder)
    catalogue.close()

    def curate(*arguments: object) -> str:
        done = CliRunner().invoke(main, [str(argument) for argument in (*arguments, "--dataset", folder)])
        assert done.exit_code == 0, done.output
        return done.stdout

    curate("add", first, copy, other)
    for stage in ("download", "cut"):
        curate(stage)
    assert "2 clips show the same as others, in 1 scenes" in curate("score", "--workers", 1)
    clips = json.loads(curate("status", "--json"))["clips"]
    with open_catalogue(Path(folder)) as opened:
        found = scenes(opened)
    by_file = {Path(clip["source"]).name: found[clip["id"]] for clip in clips}
    assert by_file["first.mp4"] == by_file["copy.mp4"] != by_file["other.mp4"]
