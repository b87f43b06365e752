"""Sites that are left alone for a while, after a bot check or many refusals in a row; kept in the catalogue.

A pause holds for all calls on the dataset. It doubles each time one follows another, and a success of a video that was
begun after it ends the row. A bot check that was met without cookies does not hold for a call that passes some.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, and_, delete, exists, false, func, or_, select, true
from sqlalchemy.orm import Session

from curation.errors import ErrorClass, StageError
from curation.providers.found import WEB
from db.models import Pause, Video, now

STARTS = ("http://", "https://", "http://%@", "https://%@")  # LIKE patterns of what stands before a host
IN_A_ROW = 3  # refusals of a site, without a success between them, before all of its videos wait


def site_of(provider: str, source: str) -> str:
    """What is paused as one: a provider, or a host where the provider is any web address. Never holds a password."""
    return f"{WEB}:{urlsplit(source).netloc.rpartition('@')[2]}" if provider == WEB else provider


def site_name(site: str) -> str:
    """A site as people read it."""
    return site.removeprefix(f"{WEB}:")


def of_site(site: str) -> ColumnElement[bool]:
    """The videos of a site."""
    if not site.startswith(f"{WEB}:"):
        return Video.provider == site
    host = site_name(site)
    by_host = [Video.source.like(f"{start}{host}/%") for start in STARTS]
    return and_(Video.provider == WEB, or_(*by_host))


def of_sites(sites: Collection[str]) -> ColumnElement[bool]:
    """The videos of any of these sites."""
    return or_(false(), *(of_site(site) for site in sorted(sites)))


def paused(*, cookies: bool) -> ColumnElement[bool]:
    """Whether a video's site is paused now for a call that passes cookies, or none: part of a query of videos."""
    host = func.substr(Pause.provider, len(WEB) + 2)
    by_host = [Video.source.like(start + host + "/%") for start in STARTS]
    of_this = or_(Pause.provider == Video.provider, and_(Video.provider == WEB, or_(*by_host)))
    return exists().where(_holds(cookies=cookies), of_this)


def active(session: Session, *, cookies: bool) -> list[Pause]:
    """The pauses that hold now for a call that passes cookies, or none."""
    return list(session.scalars(select(Pause).where(_holds(cookies=cookies)).order_by(Pause.provider)))


def _holds(*, cookies: bool) -> ColumnElement[bool]:
    met_without = and_(Pause.error_class == ErrorClass.BOT_CHECK, ~Pause.cookies)
    return and_(Pause.until > now(), ~met_without if cookies else true())


def pause(session: Session, site: str, error: StageError, *, cookies: bool) -> datetime:
    """Leave a site alone because of an error. Returns until when.

    Errors of videos that were on their way already when a pause began do not make it longer.
    """
    moment = now()
    known = session.get(Pause, site)
    if known is not None and known.until > moment and (known.cookies or not cookies):
        return known.until
    tries = 1 if known is None else known.tries + 1
    seconds = error.policy.pause(tries, error.retry_after)
    if seconds is None:
        raise ValueError(f"nothing is paused because of {error}")
    session.merge(
        Pause(
            provider=site,
            error_class=error.error_class,
            message=error.message,
            tries=tries,
            until=moment + timedelta(seconds=seconds),
            cookies=cookies,
            created_at=moment,
        )
    )
    session.flush()
    return session.get_one(Pause, site).until


def succeeded(session: Session, site: str, started: datetime) -> None:
    """A video of the site that was begun after its pause came in: the next pause is a first one again."""
    session.execute(delete(Pause).where(Pause.provider == site, Pause.created_at <= started))
