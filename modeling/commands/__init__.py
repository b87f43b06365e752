"""The `modeling` command: one thin file a command, loaded when it is called.

Each command says what it did and which command comes next; `--json` says the same to machines.
"""

from __future__ import annotations

import importlib

import click

from modeling.commands.common import friendly_errors

COMMANDS = {
    "train": "modeling.commands.train:train",
    "evaluate": "modeling.commands.evaluate:evaluate",
    "compare": "modeling.commands.compare:compare",
    "animate": "modeling.commands.animate:animate",
    "export": "modeling.commands.export:export",
    "describe": "modeling.commands.describe:describe",
    "bench": "modeling.commands.bench:bench",
    "plot": "modeling.commands.plot:plot",
    "doctor": "modeling.commands.doctor:doctor",
    "outliers": "modeling.commands.outliers:outliers",
}


class LazyGroup(click.Group):
    """Loads a command's module only when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> object:
        with friendly_errors():
            return super().invoke(ctx)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="stillflow")
def main() -> None:
    """Train the video generator on shards, evaluate it, and set still images in motion."""
