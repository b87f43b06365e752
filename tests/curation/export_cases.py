"""Small datasets with real video files, for the tests and benchmarks of split, export and verify."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from curation.cutting.plan import CutRecipe, plan
from curation.probe import probe
from db.engine import Catalogue
from db.models import Clip, Decision, Recipe, Split, Video
from db.recipes import recipe_hash
from db.states import ClipState, VideoState
from tests.fresh_dataset import fresh_dataset

SECOND = CutRecipe(length=1.0, margin=0.0, spacing=0.0)


def moving_frames(count: int, height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """(count, height, width, 3) uint8: smooth coloured noise that drifts, seeded."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 8, width // 8 + 8, 3), dtype=np.uint8)
    field = cv2.resize(coarse, (width + 64, height + 64), interpolation=cv2.INTER_CUBIC)
    steps = rng.integers(1, 4, 2)
    return np.stack([np.roll(field, tuple(k * steps), (0, 1))[:height, :width] for k in range(count)])


def write_video(
    path: Path,
    frames: NDArray[np.uint8],
    *,
    fps: Fraction | int = 25,
    time_base: Fraction | None = None,
    pts: Sequence[int] | None = None,
    crf: int = 20,
    preset: str = "ultrafast",
    gop: int = 12,
) -> Path:
    """Encode (F, H, W, 3) RGB frames as H.264; `pts` in `time_base` for a variable frame rate."""
    rate = Fraction(fps)
    base = time_base or 1 / rate
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": preset, "crf": str(crf), "g": str(gop), "threads": "1"}
        stream.time_base = stream.codec_context.time_base = base
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number if pts is None else pts[number]
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def add_video(
    catalogue: Catalogue, path: Path, *, split: str | None = "train", recipe: CutRecipe = SECOND
) -> list[str]:
    """Put a file into the catalogue as a downloaded video, cut, with all its clips accepted. Returns the clips' ids."""
    info = probe(path)
    settings = recipe.settings()
    key = recipe_hash(settings)
    name = path.stem
    video = Video(
        id=f"file-{name}",
        provider="file",
        provider_id=name,
        source=f"demo://{path.name}",
        state=VideoState.DOWNLOADED,
        path=str(path.relative_to(catalogue.folder)) if path.is_relative_to(catalogue.folder) else str(path),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        bytes=path.stat().st_size,
        licence="CC0",
    )
    ids = []
    with catalogue.writing() as session:
        if session.get(Recipe, key) is None:
            session.add(Recipe(hash=key, kind="cut", settings=settings))
            session.flush()
        session.add(video)
        session.flush()
        for planned in plan(info, recipe):
            clip = Clip(
                id=f"{video.id}-{key[:6]}-{planned.index:02d}",
                video_id=video.id,
                recipe_hash=key,
                time_base_num=info.time_base.numerator,
                time_base_den=info.time_base.denominator,
                state=ClipState.ACCEPTED,
                **vars(planned),
            )
            session.add(clip)
            ids.append(clip.id)
        session.flush()
        session.add_all(Decision(clip_id=clip, annotator="tester", verdict="accept") for clip in ids)
        if split is not None:
            session.add(Split(video_id=video.id, name=split, component=video.id, seed=0))
    return ids


def make_dataset(folder: Path, videos: Mapping[str, str | None], *, seconds: int = 2, size: int = 48) -> Catalogue:
    """A dataset folder with one rendered video a name (name -> its split), each of `seconds` one-second clips."""
    catalogue = fresh_dataset(folder)
    for name, split in videos.items():
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
        path = write_video(folder / "videos" / f"{name}.mp4", moving_frames(25 * seconds, size, size * 4 // 3, seed))
        add_video(catalogue, path, split=split)
    return catalogue
