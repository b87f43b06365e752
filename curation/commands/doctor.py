"""`curate doctor`: what is there, what its lack costs, how to get it."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from curation.commands.annotate import browser_assets as count_assets
from curation.commands.common import Dataset, Failure, Outcome, dataset_options, finish

MARKS = {"ok": "ok     ", "warning": "warning", "missing": "MISSING"}


@click.command()
@dataset_options
def doctor(dataset: Dataset) -> None:
    """Look at this machine and this dataset: what is there, what a lack costs, and how to mend it.

    Works anywhere; in a dataset folder its catalogue is looked at too. Nothing is changed. Leaves with status 1 if
    something that is needed is missing; what is only good to have is a warning.
    """
    from curation.upkeep import doctor as machine_checks
    from curation.upkeep import doctor_dataset as dataset_checks

    checks = [
        *machine_checks.machine(today=datetime.now(UTC).date()),
        machine_checks.browser_assets(*count_assets()),
        dataset_checks.time_zones(),
        *dataset_checks.folder(dataset.folder),
        *dataset_checks.catalogue(dataset.folder, dataset.database),
    ]
    if not dataset.json:
        for check in checks:
            click.echo(f"{MARKS[check.state]}  {check.name}: {check.found}")
            if check.state != "ok":
                click.echo(f"         cost: {check.cost}")
                click.echo(f"         remedy: {check.remedy}")
    missing = [check for check in checks if check.state == "missing"]
    finish(
        dataset,
        Outcome(
            command="doctor",
            counts={
                "fine": sum(check.state == "ok" for check in checks),
                "warnings": sum(check.state == "warning" for check in checks),
                "missing": len(missing),
            },
            failures=[Failure(item=check.name, source=check.found, error=f"{check.remedy}") for check in missing],
            details={"checks": [vars(check) for check in checks]},
        ),
    )
