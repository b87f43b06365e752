"""`curate annotate`: judge the clips in a moving grid in the browser."""

from __future__ import annotations

import getpass
import importlib.util
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from sqlalchemy import select

from curation.commands.common import Dataset, Outcome, UsageFault, choose, dataset_options, finish, next_command
from curation.errors import StageError
from db.models import Clip
from db.states import ClipState

if TYPE_CHECKING:
    from annotation_server.app import Result
    from annotation_server.server import Login
    from curation.ranking.ranker import SuspicionRanker


PASSES = {"pending": "first", "accepted": "final", "disputed": "adjudication"}


def page_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options of every review in the browser to a command."""
    options = (
        click.option(
            "--annotator",
            metavar="NAME",
            show_default="your login name",
            help="Who decides; stands with each decision.",
        ),
        click.option("--batch-size", type=click.IntRange(1, 64), default=25, show_default=True, help="Clips a batch."),
        click.option(
            "--min-view",
            type=click.FloatRange(0, 3600),
            default=1.0,
            show_default=True,
            help="Seconds that a batch must have been playing before Enter confirms it.",
        ),
        click.option("--port", type=click.IntRange(0, 65535), default=0, show_default="a free one"),
        click.option(
            "--host",
            default="127.0.0.1",
            show_default=True,
            help="Address to listen on; other than loopback it demands VISDOM_USERNAME and VISDOM_PASSWORD.",
        ),
        click.option("--server", metavar="URL", help="Use this running Visdom server instead of an own one."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.command()
@click.option(
    "--state",
    type=click.Choice(sorted(PASSES)),
    default="pending",
    show_default=True,
    help="Which clips to judge: pending ones; as a final pass, the accepted ones once more; or those in dispute.",
)
@click.option(
    "--order",
    type=click.Choice(["time", "random", "suspicious", "learned"]),
    default="time",
    show_default=True,
    help="Which clips come first: as they follow in the videos; shuffled; those whose scores are nearest to the "
    "recommended bounds; or those that your decisions so far make likely rejects (needs scikit-learn).",
)
@click.option("--preselect", is_flag=True, help="Mark likely rejects beforehand; you confirm or take the marks back.")
@click.option(
    "--overlap",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    metavar="SHARE",
    help="Share of the clips that a second annotator, who also gives this option, judges too.",
)
@click.option("--skipped", is_flag=True, help="Show clips again that were left undecided because nothing played.")
@click.option("--take-over", metavar="NAME", help="First free the clips in this annotator's unfinished batches.")
@page_options
@dataset_options
def annotate(
    dataset: Dataset,
    state: str,
    order: str,
    preselect: bool,
    overlap: float,
    skipped: bool,
    take_over: str | None,
    **page: Any,
) -> None:
    """Judge clips 25 at a time in a moving grid: click the unwanted ones, Enter for the next batch, Escape to stop.

    Several annotators, each with a name, work at once and get different clips. What two of them judged differently
    counts as rejected until somebody rules on it with --state disputed.
    """
    if overlap and state != "pending":
        raise UsageFault("--overlap belongs to the first pass (--state pending)")
    if preselect and order not in ("suspicious", "learned"):
        raise UsageFault("--preselect marks what an order proposes: give --order suspicious or learned as well")
    options = {"review": PASSES[state], "again": skipped, "overlap": overlap, "preselect": preselect}
    result = _review(dataset, page, take_over, order=order, **options)
    finish(dataset, _outcome(dataset, "annotate", state, result))


@click.command()
@click.argument("clips", nargs=-1, required=True, metavar="CLIP...")
@page_options
@dataset_options
def review(dataset: Dataset, clips: tuple[str, ...], **page: Any) -> None:
    """Show the given clips once more, whatever was decided on them, and judge them anew.

    CLIP is a clip's id, as curate status --json and the report name it. The new verdict replaces the old one, which
    stays in the history (curate decisions).
    """
    with dataset.open() as catalogue, catalogue.reading() as session:
        found = session.execute(select(Clip.id, Clip.state).where(Clip.id.in_(clips)))
        states = {clip: state for clip, state in found}
    unknown = [clip for clip in clips if clip not in states]
    if unknown:
        raise UsageFault(f"no such clip: {choose(unknown)} (curate status --json lists them)")
    shown = (ClipState.PENDING, ClipState.ACCEPTED, ClipState.REJECTED)
    others = [f"{clip} ({states[clip]})" for clip in clips if states[clip] not in shown]
    if others:
        raise UsageFault(f"only pending, accepted and rejected clips can be reviewed, not {choose(others)}")
    result = _review(dataset, page, None, review="again", only=tuple(dict.fromkeys(clips)))
    finish(dataset, _outcome(dataset, "review", "given", result))


def _review(dataset: Dataset, page: Mapping[str, Any], take_over: str | None, **options: Any) -> Result:
    """Open the page and review until it ends. `options` are those of `annotation_server.app.Settings`."""
    # Here, not above: Visdom's client takes seconds to import, and other commands do not need it.
    from annotation_server import app
    from annotation_server import server as embedded
    from annotation_server.assets import AssetsError
    from annotation_server.display import DisplayError
    from annotation_server.mosaic import MosaicError
    from annotation_server.records import Order, Pass
    from curation.closeup import make_closeup

    host = page["host"]
    login = _login(embedded.Login)
    if page["server"] is None and login is None and not embedded.is_loopback(host):
        raise UsageFault(f"--host {host} can be reached by others: set VISDOM_USERNAME and VISDOM_PASSWORD first")
    if page["server"] is None and embedded.is_loopback(host):
        login = None
    options["review"] = Pass(options["review"])
    order = options.pop("order", "time")
    options["ranker"] = _ranker(order)
    options["order"] = Order(order) if options["ranker"] is None else Order.RANKED
    try:
        settings = app.Settings(
            annotator=page["annotator"] or _login_name(),
            batch_size=page["batch_size"],
            min_view=page["min_view"],
            host=host,
            port=page["port"],
            server=page["server"],
            login=login,
            closeup_failures=(StageError, OSError),
            **options,
        )
        with dataset.open() as catalogue:
            settings = replace(settings, closeup=partial(make_closeup, catalogue))
            if take_over is not None:
                freed = app.take_over(catalogue, settings, take_over)
                click.echo(f"{freed:,} clips of {take_over}'s unfinished batches are free again", err=True)
            return app.run(catalogue, settings, ready=lambda address: _announce(address, to_stderr=dataset.json))
    except app.ReviewError as error:
        raise UsageFault(str(error)) from None
    except (AssetsError, DisplayError, MosaicError, embedded.ServerError) as error:
        raise click.ClickException(str(error)) from None


def _ranker(order: str) -> SuspicionRanker | None:
    """What ranks the clips in an order that needs it."""
    if order not in ("suspicious", "learned"):
        return None
    from curation.filtering.recommended import recommended
    from curation.ranking.suspicion import Bounds

    rule = recommended()
    bounds = Bounds(minimum=rule.minimum, maximum=rule.maximum)
    if order == "learned" and importlib.util.find_spec("sklearn") is None:
        raise UsageFault("--order learned needs scikit-learn: pip install 'stillflow[learn]'")
    from curation.ranking import ranker

    return ranker.LearningRanker(bounds) if order == "learned" else ranker.SuspicionRanker(bounds)


def _announce(address: str, *, to_stderr: bool) -> None:
    click.echo(f"open {address}", err=to_stderr)


def _login(login: type[Login]) -> Login | None:
    username, password = os.environ.get("VISDOM_USERNAME"), os.environ.get("VISDOM_PASSWORD")
    return login(username=username, password=password) if username and password else None


def _outcome(dataset: Dataset, command: str, state: str, result: Result) -> Outcome:
    """The closing summary: what this review confirmed, what is left and why, and where to go on."""
    done, totals = result.confirmed, result.totals
    remarks = []
    if done.withdrawn:
        remarks.append(f"{done.withdrawn:,} clips had left the review meanwhile and got no decision")
    if result.ignored:
        remarks.append(f"{result.ignored:,} events that came late or from no page of this review were ignored")
    if totals.skipped:
        remarks.append(
            f"{totals.skipped:,} clips are undecided because nothing played: curate preview makes previews anew, "
            "--skipped shows the clips again"
        )
    for name, clips in result.holders.items():
        remarks.append(f"{clips:,} clips are in an unfinished batch of {name} (--take-over frees them)")
    if result.finished and not result.batches:
        remarks.insert(0, f"nothing to review: no {state} clip is free")
    return Outcome(
        command=command,
        counts={"batches": result.batches, "kept": done.kept, "rejected": done.rejected, "left": totals.left},
        remarks=remarks,
        details={"undecided": totals.skipped, "finished": result.finished, "ignored_events": result.ignored},
        next=next_command(dataset, _next(state, result)),
    )


def _next(state: str, result: Result) -> str:
    totals = result.totals
    if state == "given":
        return "split" if totals.kept else "status"
    if not result.finished:
        return "annotate" if state == "pending" else f"annotate --state {state}"
    if totals.skipped:
        return "preview"
    return "split" if totals.kept else "status"


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise UsageFault("your login name is not known here; give one with --annotator NAME") from None


def browser_assets() -> tuple[int, str]:
    """How many of the page's browser assets are missing, and the folder that they belong in."""
    from annotation_server.assets import cache_folder, missing

    folder = cache_folder()
    return len(missing(folder)), str(folder)
