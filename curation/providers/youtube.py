"""YouTube's videos by their ids, named as their addresses name them (`urls.identify_url`), without loading yt-dlp."""

from __future__ import annotations

import re
from datetime import datetime

from curation.providers.found import Found

PROVIDER = "youtube"
# As YouTube's pages, and so yt-dlp, word the two licences that there are.
STANDARD = "Standard YouTube License"
CREATIVE_COMMONS = "Creative Commons Attribution license (reuse allowed)"
LICENCES = {"youtube": STANDARD, "creativeCommon": CREATIVE_COMMONS}


def is_video_id(text: str) -> bool:
    """Whether this could be the id of a YouTube video: 11 letters, digits, - and _."""
    return re.fullmatch(r"[A-Za-z0-9_-]{11}", text) is not None


def video(
    provider_id: str,
    *,
    label: str | None = None,
    official_split: str | None = None,
    title: str | None = None,
    channel: str | None = None,
    channel_id: str | None = None,
    published_at: datetime | None = None,
    licence: str | None = None,
    licence_checked_at: datetime | None = None,
    duration: float | None = None,
) -> Found:
    """The YouTube video of an id, with what is known of it. Raises `ValueError` if it can be no id."""
    if not is_video_id(provider_id):
        raise ValueError(f"{provider_id!r} is not the id of a YouTube video (11 letters, digits, - and _)")
    return Found(
        provider=PROVIDER,
        provider_id=provider_id,
        source=f"https://www.youtube.com/watch?v={provider_id}",
        label=label,
        official_split=official_split,
        title=title,
        channel=channel,
        channel_id=channel_id,
        published_at=published_at,
        licence=licence,
        licence_checked_at=licence_checked_at,
        duration=duration,
    )
