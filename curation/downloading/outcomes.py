"""How a try at a video ended, written to the catalogue in the transaction that gives its lease back."""

from __future__ import annotations

from datetime import datetime, timedelta

from curation.downloading.checked import Checked, CheckedSections
from curation.downloading.pauses import pause, succeeded
from curation.errors import ErrorClass, StageError
from db.engine import Catalogue
from db.leases import Claim, finish
from db.models import Attempt, Video, now
from db.states import VideoState, move_video


def record_done(
    catalogue: Catalogue, claimed: Claim, started: datetime, checked: Checked | CheckedSections, *, site: str
) -> bool:
    """The video is in its place. False if it was taken down meanwhile, and its files must go.

    Raises `LeaseLost` if another worker has taken it over.
    """
    with catalogue.writing() as session:
        finish(session, claimed)
        succeeded(session, site, started)
        video = session.get_one(Video, claimed.item_id)
        if video.state == VideoState.TAKEN_DOWN:
            return False
        move_video(video, VideoState.DOWNLOADED)
        checked.fill(session, video)
        video.error = video.error_class = video.retry_at = None
        video.tries = 0
        video.downloaded_at = now()
        session.add(_attempt(claimed, started, None))
    return True


def record_failure(
    catalogue: Catalogue,
    claimed: Claim,
    started: datetime,
    error: StageError,
    *,
    pause_site: str | None = None,
    cookies: bool = False,
) -> datetime | None:
    """The video failed. Returns when it is tried again; None: not unless a person asks.

    `pause_site` is a site that is to be left alone from now on; `cookies`: the call passed some. Raises `LeaseLost`
    if another worker has taken the video over.
    """
    with catalogue.writing() as session:
        finish(session, claimed)
        until = None if pause_site is None else pause(session, pause_site, error, cookies=cookies)
        video = session.get_one(Video, claimed.item_id)
        session.add(_attempt(claimed, started, error))
        if video.state == VideoState.TAKEN_DOWN:
            return None
        move_video(video, VideoState.FAILED)
        video.error, video.error_class = str(error), error.error_class
        video.tries += 1
        seconds = error.policy.pause(video.tries, error.retry_after)
        video.retry_at = None if seconds is None else now() + timedelta(seconds=seconds)
        if error.error_class is ErrorClass.BOT_CHECK:  # not the video's fault: it goes on with its site
            video.retry_at = until
        return video.retry_at


def _attempt(claimed: Claim, started: datetime, error: StageError | None) -> Attempt:
    return Attempt(
        stage=claimed.stage,
        item_id=claimed.item_id,
        worker=claimed.owner,
        started_at=started,
        outcome="failed" if error else "done",
        error_class=error.error_class if error else None,
        message=error.message if error else None,
    )
