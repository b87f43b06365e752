"""Makes small datasets to review: clips with previews, straight into a catalogue."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from db.engine import Catalogue
from db.models import Clip, Preview, Recipe, Video
from db.states import ClipState
from tests.fresh_dataset import fresh_dataset

FPS = 10


def write_preview(path: Path, *, seconds: float = 2.0, hue: int = 0) -> None:
    """A 160x90 H.264 loop of a wave that moves to the right, in a colour of its own."""
    rows, columns = np.mgrid[0:90, 0:160]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "30"})
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for number in range(round(seconds * FPS)):
            luma = 120 + 60 * np.sin((columns - 4 * number) / 9 + rows / (15 + hue % 7))
            chroma = np.full((45, 160), 90 + hue * 37 % 80)
            planes = np.concatenate([luma, chroma]).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode())


def make_dataset(
    folder: Path,
    clips: int,
    *,
    seconds: float = 2.0,
    previews: list[Path] | None = None,
    state: ClipState = ClipState.PENDING,
    title: str = "Calm sea at dusk",
) -> Catalogue:
    """A dataset whose `clips` clips await review; they share a few preview files (or the given ones)."""
    catalogue = fresh_dataset(folder)
    if previews is None:
        previews = [folder / "previews" / f"wave-{hue}.mp4" for hue in range(5)]
        for hue, path in enumerate(previews):
            write_preview(path, seconds=seconds, hue=hue)
    with catalogue.writing() as session:
        session.add(Recipe(hash="r" * 64, kind="cut", settings={}))
        for number in range(0, clips, 20):
            session.add(
                Video(id=f"file-{number:05}", provider="file", provider_id=f"{number}", source="sea.mp4", title=title)
            )
        session.flush()
        for number in range(clips):
            clip_id = f"clip-{number:05}"
            start = float(number % 20 * 12)
            session.add(
                Clip(
                    id=clip_id,
                    video_id=f"file-{number // 20 * 20:05}",
                    recipe_hash="r" * 64,
                    index=number % 20,
                    start_pts=round(start * 25),
                    end_pts=round((start + seconds) * 25),
                    time_base_num=1,
                    time_base_den=25,
                    start=start,
                    end=start + seconds,
                    frame_count=round(seconds * 25),
                    state=state,
                )
            )
            path = str(previews[number % len(previews)])
            session.add(Preview(clip_id=clip_id, path=path, width=160, height=90, fps=FPS, frames=round(seconds * FPS)))
    return catalogue
