"""The demo's automatic review: the renderer knows what it planted, so its list stands in for a curator's eyes.

Recorded as annotator `demo`, through the same rows as a person's decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from curation.demo.faults import Fault
from db.engine import Catalogue
from db.models import Clip, Decision, Video
from db.states import ClipState, move_clip

ANNOTATOR = "demo"
# A curator would not mind irregular frame times; a broken file never gets this far.
HARMLESS = frozenset({"variable-frame-rate", "broken"})


def fault_in(faults: Sequence[Fault], start: float, end: float) -> str | None:
    """The first planted fault that a clip from `start` to `end` seconds shows, if any."""
    for fault in faults:
        if (
            fault.name not in HARMLESS
            and fault.start < end
            and (fault.end > start or fault.start == fault.end >= start)
        ):
            return fault.name
    return None


def review(catalogue: Catalogue, planted: Mapping[str, Sequence[Fault]]) -> dict[str, int]:
    """Judge every clip that awaits review. `planted` holds the faults by the end of the video's source.

    Returns the counts {"accepted", "rejected"}.
    """
    counts = {"accepted": 0, "rejected": 0}
    with catalogue.writing() as session:
        rows = session.execute(
            select(Clip, Video.source)
            .join(Video, Video.id == Clip.video_id)
            .where(Clip.state == ClipState.PENDING)
            .order_by(Clip.video_id, Clip.index)
        ).all()
        for clip, source in rows:
            faults = planted.get(source.rsplit("/", 1)[-1], ())
            fault = fault_in(faults, clip.start, clip.end)
            verdict = "accept" if fault is None else "reject"
            session.add(Decision(clip_id=clip.id, annotator=ANNOTATOR, verdict=verdict, reason=fault))
            if fault is None:
                move_clip(clip, ClipState.ACCEPTED)
                counts["accepted"] += 1
            else:
                move_clip(clip, ClipState.REJECTED, f"{fault} (rejected by {ANNOTATOR})")
                counts["rejected"] += 1
    return counts
