"""`curate annotate`: judge the clips in a moving grid in the browser."""

from __future__ import annotations

import getpass
import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click

from curation.commands.common import Dataset, Outcome, UsageFault, dataset_options, finish, next_command
from curation.errors import StageError

if TYPE_CHECKING:
    from annotation_server.app import Result
    from annotation_server.server import Login


@click.command()
@click.option(
    "--annotator", metavar="NAME", show_default="your login name", help="Who decides; stands with each decision."
)
@click.option(
    "--state",
    type=click.Choice(["pending", "accepted"]),
    default="pending",
    show_default=True,
    help="Which clips to judge: pending ones, or, as a final pass, the accepted ones once more.",
)
@click.option("--order", type=click.Choice(["time", "random"]), default="time", show_default=True)
@click.option("--batch-size", type=click.IntRange(1, 64), default=25, show_default=True, help="Clips a batch.")
@click.option(
    "--min-view",
    type=click.FloatRange(0, 3600),
    default=1.0,
    show_default=True,
    help="Seconds that a batch must have been playing before Enter confirms it.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default="a free one")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; other than loopback it demands VISDOM_USERNAME and VISDOM_PASSWORD.",
)
@click.option("--server", metavar="URL", help="Use this running Visdom server instead of an own one.")
@click.option("--skipped", is_flag=True, help="Show clips again that were left undecided because nothing played.")
@click.option("--take-over", metavar="NAME", help="First free the clips in this annotator's unfinished batches.")
@dataset_options
def annotate(
    dataset: Dataset,
    annotator: str | None,
    state: str,
    order: str,
    batch_size: int,
    min_view: float,
    port: int,
    host: str,
    server: str | None,
    skipped: bool,
    take_over: str | None,
) -> None:
    """Judge clips 25 at a time in a moving grid: click the unwanted ones, Enter for the next batch, Escape to stop."""
    # Here, not above: Visdom's client takes seconds to import, and other commands do not need it.
    from annotation_server import app
    from annotation_server import server as embedded
    from annotation_server.assets import AssetsError
    from annotation_server.display import DisplayError
    from annotation_server.mosaic import MosaicError
    from annotation_server.records import Order, Pass
    from curation.closeup import make_closeup

    login = _login(embedded.Login)
    if server is None and login is None and not embedded.is_loopback(host):
        raise UsageFault(f"--host {host} can be reached by others: set VISDOM_USERNAME and VISDOM_PASSWORD first")
    if server is None and embedded.is_loopback(host):
        login = None
    try:
        settings = app.Settings(
            annotator=annotator or _login_name(),
            review=Pass.FIRST if state == "pending" else Pass.FINAL,
            order=Order(order),
            again=skipped,
            batch_size=batch_size,
            min_view=min_view,
            host=host,
            port=port,
            server=server,
            login=login,
            closeup_failures=(StageError, OSError),
        )
        with dataset.open() as catalogue:
            settings = replace(settings, closeup=partial(make_closeup, catalogue))
            if take_over is not None:
                freed = app.take_over(catalogue, settings, take_over)
                click.echo(f"{freed:,} clips of {take_over}'s unfinished batches are free again", err=True)
            result = app.run(catalogue, settings, ready=lambda address: _announce(address, to_stderr=dataset.json))
    except app.ReviewError as error:
        raise UsageFault(str(error)) from None
    except (AssetsError, DisplayError, MosaicError, embedded.ServerError) as error:
        raise click.ClickException(str(error)) from None
    finish(dataset, _outcome(dataset, state, result))


def _announce(address: str, *, to_stderr: bool) -> None:
    click.echo(f"open {address}", err=to_stderr)


def _login(login: type[Login]) -> Login | None:
    username, password = os.environ.get("VISDOM_USERNAME"), os.environ.get("VISDOM_PASSWORD")
    return login(username=username, password=password) if username and password else None


def _outcome(dataset: Dataset, state: str, result: Result) -> Outcome:
    """The closing summary: what this review confirmed, what is left and why, and where to go on."""
    done, totals = result.confirmed, result.totals
    remarks = []
    if done.withdrawn:
        remarks.append(f"{done.withdrawn:,} clips had left the review meanwhile and got no decision")
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
        command="annotate",
        counts={"batches": result.batches, "kept": done.kept, "rejected": done.rejected, "left": totals.left},
        remarks=remarks,
        details={"undecided": totals.skipped, "finished": result.finished},
        next=next_command(dataset, _next(state, result)),
    )


def _next(state: str, result: Result) -> str:
    totals = result.totals
    if not result.finished:
        return "annotate" if state == "pending" else "annotate --state accepted"
    if totals.skipped:
        return "preview"
    return "split" if totals.kept else "status"


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise UsageFault("your login name is not known here; give one with --annotator NAME") from None
