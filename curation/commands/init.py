"""`curate init`: make a dataset folder, or bring an old one up to date."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.common import Dataset, Outcome, finish, next_command
from db.engine import CATALOGUE, create


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--database", metavar="URL", help="Keep the catalogue in this database instead of the folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def init(folder: Path, database: str | None, as_json: bool) -> None:
    """Make the dataset folder FOLDER, or bring its catalogue up to this version."""
    existed = (folder / CATALOGUE).exists()
    create(folder, database).close()
    dataset = Dataset(folder=folder, database=database, json=as_json)
    outcome = Outcome(
        command="init",
        remarks=[f"{folder} {'is up to date' if existed else 'is ready'}"],
        details={"folder": str(folder.absolute())},
        next=next_command(dataset, "add URL_OR_FILE..."),
    )
    finish(dataset, outcome)
