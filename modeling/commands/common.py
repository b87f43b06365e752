"""What all commands share: options, the closing words, and the one place where errors become a line and a status."""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from db.shards import ShardError
from modeling.config import ConfigError
from modeling.errors import ModelingError

F = TypeVar("F", bound=Callable[..., Any])


class Failure(click.ClickException):
    """The command stops here with one line on stderr. Exit status 1."""


class UsageFailure(Failure):
    """The command cannot be carried out as it was given. Exit status 2."""

    exit_code = 2


@contextlib.contextmanager
def friendly_errors() -> Iterator[None]:
    """Turn the errors that users can cause, or mend, into one line and an exit status."""
    try:
        yield
    except ModelingError as error:
        raise (UsageFailure if error.exit_status == 2 else Failure)(str(error)) from None
    except (ConfigError, ShardError) as error:
        raise UsageFailure(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise SystemExit(1) from None
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f"{error.filename}: " if error.filename else ""
            raise Failure(f"{where}the disk is full; free some space and run the command again") from None
        if isinstance(error, PermissionError | FileNotFoundError | NotADirectoryError | IsADirectoryError):
            raise Failure(f"{error.filename}: {error.strerror}") from None
        raise


def json_option(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")(function)


def device_option(function: F) -> F:
    return click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="auto|cpu|cuda[:N]",
        help="Where to compute.",
    )(function)


def run_option(function: F) -> F:
    return click.option(
        "--run",
        type=click.Path(path_type=Path),
        required=True,
        metavar="DIR",
        help="The run folder, such as runs/name.",
    )(function)


def checkpoint_option(function: F) -> F:
    return click.option(
        "--checkpoint",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A checkpoint of this run, instead of model.safetensors.",
    )(function)


def say(line: str) -> None:
    """A remark, on stderr, so that stdout stays the result's."""
    click.echo(line, err=True)


def report(as_json: bool, content: dict[str, Any], lines: list[str], *, next_command: str | None) -> None:
    """The closing words: `content` for machines, or `lines` and the command to go on with."""
    if as_json:
        click.echo(json.dumps({**content, "next": next_command}, ensure_ascii=False, allow_nan=False))
        return
    for line in lines:
        click.echo(line)
    if next_command is not None:
        click.echo(f"next: {next_command}")
