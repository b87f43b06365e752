"""`curate import`: bring whole collections in, as their makers lay them out on disk; a thin file a data set."""

from __future__ import annotations

import click

from curation.commands.import_.folder import folder


@click.group(name="import")
def import_() -> None:
    """Bring whole collections of videos in, as they lie on disk."""


import_.add_command(folder)
