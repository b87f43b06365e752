"""The `curate` command: one thin file a command, loaded when it is called.

Each command says what it did, what it left and why, and which command comes next; `--json` says the same to machines.
"""

from __future__ import annotations

import gc
import importlib
from types import ModuleType

import click

COMMANDS = {
    "init": "curation.commands.init:init",
    "search": "curation.commands.search:search",
    "add": "curation.commands.add:add",
    "import": "curation.commands.import_:import_",
    "download": "curation.commands.download:download",
    "retry": "curation.commands.retry:retry",
    "cut": "curation.commands.cut:cut",
    "score": "curation.commands.score:score",
    "filter": "curation.commands.filter:filter_",
    "preview": "curation.commands.preview:preview",
    "annotate": "curation.commands.annotate:annotate",
    "review": "curation.commands.annotate:review",
    "decisions": "curation.commands.decisions:decisions",
    "masks": "curation.commands.masks:masks",
    "split": "curation.commands.split:split",
    "export": "curation.commands.export:export",
    "verify": "curation.commands.verify:verify",
    "manifest": "curation.commands.manifest:manifest",
    "status": "curation.commands.status:status",
    "report": "curation.commands.report:report",
    "takedown": "curation.commands.takedown:takedown",
    "prune": "curation.commands.prune:prune",
    "doctor": "curation.commands.doctor:doctor",
    "run": "curation.commands.run:run",
}


class LazyGroup(click.Group):
    """Loads a command's module only when that command is asked for: `curate status` need not wait for yt-dlp."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name].split(":")
        command: click.Command = getattr(load(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> object:
        with load("curation.commands.common").friendly_errors():
            return super().invoke(ctx)


def load(module: str) -> ModuleType:
    """Import a module without looking for garbage among what stays: that takes a sixth of the time."""
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.freeze()
        gc.enable()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="stillflow", prog_name="stillflow")
def main() -> None:
    """Turn a list of videos into training shards of moving landscapes."""
