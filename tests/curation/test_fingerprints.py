"""Fingerprints: the hash against its formula, what it survives, and what says nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from curation.demo.encode import reupload_frames, write_video
from curation.probe import probe
from curation.scores import ArrayFrame, measure
from curation.scores.fingerprints import BITS, INTERVAL, SECONDS, SIDE, ZIGZAG, Fingerprints, picture_hash
from curation.scores.frame import frames
from tests.curation.score_cases import HEIGHT, U8, WIDTH, foam, land, through

BYTES = BITS // 8
RATE = 1 / INTERVAL


def fingerprint(pictures: list[U8], fps: float = RATE) -> bytes:
    made = through(Fingerprints(), pictures, fps).fingerprint()
    assert made is not None
    return made


def of_file(path: Path) -> bytes:
    info = probe(path)
    scorer = Fingerprints()
    measure(frames(path, int(info.pts[0]), info.end_pts), [scorer])
    made = scorer.fingerprint()
    assert made is not None
    return made


def distances(one: bytes, other: bytes) -> list[int]:
    """Bits that differ, second by second."""
    bits = [np.unpackbits(np.frombuffer(each, np.uint8)).reshape(-1, BITS) for each in (one, other)]
    length = min(map(len, bits))
    return [int(count) for count in (bits[0][:length] != bits[1][:length]).sum(1)]


def river(frames: int, seed: int = 0) -> list[U8]:
    rng = np.random.default_rng(seed)
    clip = []
    for _ in range(frames):
        picture = land(seed=seed)
        picture[90:] = foam(HEIGHT - 90, WIDTH, rng)
        clip.append(picture)
    return clip


def test_the_hash_is_the_signs_of_low_cosine_waves() -> None:
    """The transform written out: each wave's product with the picture, lowest diagonals first, no mean."""
    picture = land(90, 160, seed=4)[..., 0].astype(np.float32)
    square = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
    at = (np.arange(SIDE) + 0.5) * np.pi / SIDE
    signs = [bool(np.cos(at * y) @ square @ np.cos(at * x) > 0) for y, x in ZIGZAG]
    assert picture_hash(picture) == np.packbits(signs).tobytes()
    assert (0, 0) not in ZIGZAG
    assert len(set(ZIGZAG)) == BITS
    assert [y + x for y, x in ZIGZAG] == sorted(y + x for y, x in ZIGZAG)


@pytest.mark.parametrize(("seconds", "hashes"), [(0.2, 1), (2, 1), (2.8, 2), (5, 4), (10, 9), (100, SECONDS - 1)])
def test_one_hash_for_each_second_but_the_last(seconds: float, hashes: int) -> None:
    picture = land(90, 160)
    assert len(fingerprint([picture] * round(seconds * RATE))) == hashes * BYTES


def test_what_says_nothing_is_zero() -> None:
    rng = np.random.default_rng(0)
    fog = np.clip(rng.normal(200, 2, (25, 90, 160, 3)), 0, 255).astype(np.uint8)
    column = np.linspace(90, 190, 90)[:, None, None]
    sky = np.clip(column + rng.normal(0, 1, (25, 90, 160, 3)), 0, 255).astype(np.uint8)
    for plain in (np.zeros((25, 90, 160, 3), np.uint8), fog, sky):
        assert not any(fingerprint(list(plain)))
    assert any(fingerprint([land(90, 160)] * 25))


def test_a_gap_in_time_says_nothing() -> None:
    scorer = Fingerprints()
    measure([ArrayFrame(land(90, 160), time) for time in (0.0, 0.5, 5.2, 5.6, 6.0)], [scorer])
    made = scorer.fingerprint()
    assert made is not None
    told = [any(made[at : at + BYTES]) for at in range(0, len(made), BYTES)]
    assert told == [True, False, False, False, True]
    assert Fingerprints().fingerprint() is None


def varied(pictures: Iterable[U8]) -> dict[str, list[U8]]:
    """The same clip in other ways."""
    clip = list(pictures)
    boxed = [cv2.copyMakeBorder(picture, 40, 40, 0, 0, cv2.BORDER_CONSTANT) for picture in clip]
    return {
        "brighter": [np.asarray(cv2.convertScaleAbs(picture, alpha=1.1, beta=6), np.uint8) for picture in clip],
        "smaller": [cv2.resize(picture, (200, 112), interpolation=cv2.INTER_AREA) for picture in clip],
        "squeezed": [cv2.resize(picture, (240, 180), interpolation=cv2.INTER_AREA) for picture in clip],
        "boxed": [np.asarray(picture, np.uint8) for picture in boxed],
        "cropped": [picture[4:-4, 6:-6] for picture in clip],
        "later": [*clip[2:], *clip[:2]],
    }


@pytest.mark.parametrize("way", list(varied([land()])))
def test_it_survives(way: str) -> None:
    for seed in range(3):
        clip = river(25, seed)
        assert max(distances(fingerprint(clip), fingerprint(varied(clip)[way]))) <= 24


def test_unrelated_clips_differ_like_coins() -> None:
    prints = [fingerprint(river(10, seed)) for seed in range(12)]
    between = [distances(prints[a], prints[b])[0] for a in range(12) for b in range(a)]
    assert min(between) > 36
    assert np.mean(between) == pytest.approx(BITS / 2, abs=6)


def test_another_upload(tmp_path: Path) -> None:
    """Coded twice, smaller, its sides cut off."""
    pictures = [(index / 25, cv2.resize(river(1)[0], (480, 270))) for index in range(5)]
    clip = [(index / 25, pictures[index % 5][1]) for index in range(75)]
    write_video(tmp_path / "a.mp4", clip, size=(480, 270), fps=25, crf=20)
    again = reupload_frames(tmp_path / "a.mp4", (320, 180), 0.02)
    write_video(tmp_path / "b.mp4", list(again), size=(320, 180), fps=25, crf=32)
    assert max(distances(of_file(tmp_path / "a.mp4"), of_file(tmp_path / "b.mp4"))) <= 24
