"""`curate search`: find videos by a phrase; they are fetched by `curate download`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from curation.commands.add import outcome_of as outcome_of_add
from curation.commands.common import (
    Dataset,
    Failure,
    Outcome,
    UsageFault,
    dataset_options,
    finish,
    progress,
    report,
)
from curation.finding.adding import Added, states_of
from curation.providers.hits import LICENSES, Hit, SearchProvider, SearchRefused, SearchStopped, Wanted

if TYPE_CHECKING:
    from curation.finding.searching import SearchReport
    from db.engine import Catalogue

PROVIDERS = ("youtube-api", "yt-dlp")
DATE = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
INTERRUPTED = 130  # the shell's status for Ctrl-C


@click.command()
@click.argument("phrase")
@click.option(
    "--provider",
    type=click.Choice(PROVIDERS),
    default="youtube-api",
    show_default=True,
    help="YouTube's Data API, which needs a key of yours, or YouTube's search page through yt-dlp, which needs none.",
)
@click.option("--limit", type=click.IntRange(1), default=500, show_default=True, help="Videos to find, known ones too.")
@click.option("--license", type=click.Choice(LICENSES), default="any", show_default=True, help="cc: Creative Commons.")
@click.option("--after", type=DATE, metavar="DATE", help="Published on this day (UTC) or later: 2020-01-31.")
@click.option("--before", type=DATE, metavar="DATE", help="Published before this day (UTC).")
@click.option("--min-duration", type=click.FloatRange(0), metavar="S", help="Seconds, at least.")
@click.option("--max-duration", type=click.FloatRange(0), metavar="S", help="Seconds, at most.")
@click.option("--preview", type=click.IntRange(1, 500), metavar="N", help="Only list the first hits; record nothing.")
@click.option("--again", is_flag=True, help="Search anew, although this very search is complete or was begun before.")
@click.option(
    "--api-key",
    metavar="KEY",
    envvar=["YOUTUBE_API_KEY", "STILLFLOW_YOUTUBE_API_KEY"],
    show_envvar=True,
    help="Better kept in the environment, where other users of the machine do not see it. It is never stored.",
)
@click.option(
    "--api-endpoint",
    metavar="URL",
    envvar="STILLFLOW_YOUTUBE_ENDPOINT",
    show_envvar=True,
    help="Of a proxy of the API.",
)
@click.option(
    "--daily-searches",
    type=click.IntRange(1),
    metavar="N",
    show_default="100",
    help="Search calls a day that your key has. Given, they are tried even where YouTube said today that none is left.",
)
@dataset_options
def search(
    phrase: str,
    provider: str,
    limit: int,
    license: str,
    after: datetime | None,
    before: datetime | None,
    min_duration: float | None,
    max_duration: float | None,
    preview: int | None,
    again: bool,
    api_key: str | None,
    api_endpoint: str | None,
    daily_searches: int | None,
    dataset: Dataset,
) -> None:
    """Find videos by a PHRASE and queue them for download.

    A good phrase is found by trying: "river" finds music, "river relaxing" rivers. --preview 10 shows what a phrase
    finds. A page of 50 hits costs one of the 100 search calls that YouTube grants a key each day; when they are spent,
    the same command goes on the next day where it stopped. YouTube ends a query near 500 hits; for more, it is asked
    again for shorter and shorter spans of publication dates. A video that is known already is not added twice.

    Durations, dates and licences are confirmed by each video's record. With --provider yt-dlp there are no licences
    and no dates to search by, and a video whose duration is not listed is let pass.
    """
    try:
        wanted = Wanted(
            phrase=phrase.strip(), license=license, after=_aware(after), before=_aware(before),
            min_duration=min_duration, max_duration=max_duration,
        )  # fmt: skip
    except ValueError as error:
        raise UsageFault(str(error)) from None
    from curation.finding.searching import first_hits, search

    try:
        with dataset.open() as catalogue:
            asked = _provider(provider, wanted, catalogue, api_key, api_endpoint, daily_searches)
            if preview is not None:
                _show(dataset, catalogue, first_hits(asked, wanted, preview))
                return
            with progress(f"searching {wanted.phrase!r}", limit, "videos") as bar:
                found = search(catalogue, asked, wanted, limit=limit, again=again, each=bar.advance)
    except SearchRefused as error:
        raise UsageFault(str(error)) from None
    except SearchStopped as stopped:
        raise click.ClickException(str(stopped)) from None
    except KeyboardInterrupt:
        report(
            dataset,
            Outcome(command="search", remarks=["stopped; what was found is queued, and the same command goes on"]),
        )
        raise SystemExit(INTERRUPTED) from None
    finish(dataset, outcome_of(found, wanted, asked.name, limit, dataset))


def _aware(date: datetime | None) -> datetime | None:
    return None if date is None else date.replace(tzinfo=UTC)


def _provider(
    name: str, wanted: Wanted, catalogue: Catalogue, key: str | None, endpoint: str | None, daily: int | None
) -> SearchProvider:
    if name == "yt-dlp":
        from curation.providers.ytdlp_search import YtDlpSearch, refuse_what_is_not_listed

        refuse_what_is_not_listed(wanted)
        return YtDlpSearch(cache=catalogue.folder / ".cache" / "yt-dlp")
    if not key or not key.strip():
        raise UsageFault(
            "the YouTube Data API needs a key: make one at https://console.cloud.google.com/apis/credentials and set "
            "YOUTUBE_API_KEY, or search without one: --provider yt-dlp"
        )
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        raise UsageFault(f"--api-endpoint {endpoint}: not a web address")
    from curation.finding.quota import Ledger
    from curation.providers.youtube_api import NAME, ZONE, YouTubeApi

    return YouTubeApi(key.strip(), Ledger(catalogue, NAME, ZONE), endpoint=endpoint, daily_searches=daily)


def _show(dataset: Dataset, catalogue: Catalogue, hits: list[Hit]) -> None:
    """List hits, each with what is known of it here."""
    with catalogue.reading() as session:
        known = states_of(session, [hit.video.id for hit in hits])
    lines = []
    for rank, hit in enumerate(hits, 1):
        video = hit.video
        length = "?" if video.duration is None else f"{video.duration // 60:.0f}:{video.duration % 60:02.0f}"
        facts = [length, video.channel or "?", *([video.licence] if video.licence else [])]
        facts += [f"{video.published_at:%Y-%m-%d}"] if video.published_at else []
        facts += [f"known: {known[video.id]}"] if video.id in known else []
        lines += [f"{rank:3}. {video.title or '?'} ({', '.join(facts)})", f"     {video.source}"]
    if not dataset.json and lines:
        click.echo("\n".join(lines))
    listed = [_as_json(rank, hit, known.get(hit.video.id)) for rank, hit in enumerate(hits, 1)]
    finish(
        dataset,
        Outcome(
            command="search",
            counts={"hits": len(hits)},
            remarks=["nothing was recorded; without --preview they are queued for download"],
            details={"listed": listed},
        ),
    )


def _as_json(rank: int, hit: Hit, known: str | None) -> dict[str, Any]:
    video = hit.video
    return {
        "rank": rank,
        "id": video.id,
        "source": video.source,
        "title": video.title,
        "channel": video.channel,
        "published_at": None if video.published_at is None else video.published_at.isoformat(),
        "duration": video.duration,
        "licence": video.licence,
        "known": known,
    }


def outcome_of(found: SearchReport, wanted: Wanted, provider: str, limit: int, dataset: Dataset) -> Outcome:
    """The summary of a search."""
    outcome = outcome_of_add("search", Added(new=found.new, known=found.known), [], dataset)
    outcome.counts = {"found": found.found} | outcome.counts
    remarks = []
    if found.complete_since is not None:
        onward = "; a larger --limit goes on" if found.more else ""
        remarks.append(f"this search was made on {found.complete_since:%Y-%m-%d}{onward}; --again searches anew")
    if found.resumed:
        remarks.append("went on where an earlier call stopped")
    if found.left_out:
        remarks.append("left out: " + ", ".join(f"{number:,} {reason}" for reason, number in found.left_out.items()))
    if found.crowded:
        remarks.append(f"{found.crowded:,} spans of a second hold more videos than YouTube tells")
    if found.stopped is not None:
        outcome.failures.append(Failure(item=wanted.phrase, source=provider, error=str(found.stopped)))
        remarks.append("stopped early; what was found is queued, and the same command goes on")
    elif found.found < limit and not found.more:
        remarks.append(f"there are no more: {limit:,} were asked for")
    outcome.remarks = [*remarks, *outcome.remarks]
    resume_at = None if found.stopped is None else found.stopped.resume_at
    outcome.details |= {
        "left_out": found.left_out,
        "state": "complete" if found.stopped is None else "open",
        "resume_at": None if resume_at is None else resume_at.isoformat(),
    }
    return outcome
