"""A closer look at one clip, for the grid: larger than a preview, with all its frames at their own times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from curation.decode import Resizer, decode, pixel_aspect
from curation.errors import ErrorClass, StageError
from curation.sources import locate_clip
from db.engine import Catalogue
from db.files import replacing
from db.models import Clip

HEIGHT, WIDTH = 270, 480


def make_closeup(catalogue: Catalogue, clip_id: str, target: Path) -> None:
    """Write a clip as a 480x270 H.264 loop. Raises `StageError` where its source is not there or does not decode.

    Encoded for haste, not for size: somebody waits for it.
    """
    with catalogue.reading() as session:
        clip = session.get_one(Clip, clip_id)
        source = locate_clip(catalogue, session, clip)
    time_base = Fraction(clip.time_base_num, clip.time_base_den)
    resizer = Resizer(height=HEIGHT, width=WIDTH, fit="pad", pixel_aspect=pixel_aspect(source))
    count = 0
    with replacing(target) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        options = {"preset": "ultrafast", "crf": "23", "movflags": "+faststart"}
        stream = container.add_stream("libx264", options=options)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.codec_context.time_base = time_base
        for frame in decode(source, clip.start_pts, clip.end_pts):
            small = resizer.push(frame).reformat(format="yuv420p")
            assert frame.pts is not None
            small.pts, small.time_base = frame.pts - clip.start_pts, time_base
            container.mux(stream.encode(small))
            count += 1
        if count == 0:
            raise StageError(ErrorClass.CORRUPT, f"{source.name}: none of the clip's frames decode")
        container.mux(stream.encode())
