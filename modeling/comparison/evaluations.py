"""The evaluations of runs, or of folders of samples, as `modeling evaluate` wrote them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeling.errors import ModelingError, UsageError
from modeling.files import read_json

FORMAT = 2
FOLDER = "evaluation"  # of a run, or beside samples
KEYS = ("protocol", "metrics", "curves")
FACTS = ("name", "n", "frames", "context_frames", "first_frame", "split", "seed", "resolution", "protocol_hash")
COUNTS = ("n", "frames", "context_frames", "first_frame", "seed", "resolution")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A report, and the run that it is of; None for one of samples alone, or one that was written elsewhere."""

    name: str
    run: Path | None
    file: Path
    report: Mapping[str, Any]

    @property
    def protocol(self) -> Mapping[str, Any]:
        facts: Mapping[str, Any] = self.report["protocol"]
        return facts

    @property
    def data(self) -> str:
        """Names the data that were scored; in a report from before they had a hash, their recipe alone."""
        return str(self.protocol.get("data_hash") or self.protocol.get("data_recipe_hash") or "")

    def is_of(self, recipe_hash: object, data_hash: object) -> bool:
        """Whether these data were scored, as far as the report tells and the hash is known."""
        held = self.protocol.get("data_hash")
        return self.protocol.get("data_recipe_hash") == recipe_hash if None in (held, data_hash) else held == data_hash


def read_evaluations(
    given: Sequence[Path],
    names: Sequence[str] | None,
    *,
    split: str | None = None,
    step: int | None = None,
    protocol: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Evaluation]:
    """The newest evaluation of each run folder, folder of reports or report file that is given, of those with this
    split, step and protocol; where there was a choice, `say` is told which it is. Names default to the folders'.

    UsageError for a place without such an evaluation, an unreadable or older file, or bad names.
    """
    called = _names(given, names)
    wanted = {"split": split, "step": step, "name": protocol}
    asked = {key: value for key, value in wanted.items() if value is not None}
    return [_read(place, name, asked, say) for place, name in zip(given, called, strict=True)]


def _home(place: Path) -> Path:
    """The folder that a run or an evaluation is called by."""
    folder = place.resolve().parent if place.is_file() else place.resolve()
    return folder.parent if folder.name == FOLDER else folder


def _names(given: Sequence[Path], names: Sequence[str] | None) -> list[str]:
    for place, count in Counter(place.resolve() for place in given).items():
        if count > 1:
            raise UsageError(f"{place} is given {count} times; name each run once, or reports of it by their files")
    if names is None:
        short = [_home(place).name for place in given]
        return [name if short.count(name) == 1 else str(place) for name, place in zip(short, given, strict=True)]
    if len(names) != len(given):
        raise UsageError(f"--names gives {len(names)} names for {len(given)} runs: give one each, with commas")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice or not all(names):
        raise UsageError(f"--names must be different and not empty, not {','.join(names)!r}")
    return list(names)


def _files(place: Path) -> tuple[Path | None, list[Path]]:
    """The run, and the reports at a place, the newest first."""
    home = _home(place)
    run = place if place.is_dir() else home
    whose = run if (run / "config.yaml").is_file() else None
    if place.is_file():
        return whose, [place]
    if whose is not None or (place / FOLDER).is_dir():
        found = place / FOLDER
    elif place.is_dir():
        found = place
    else:
        raise UsageError(f"{place} is not there; give run folders, or what `modeling evaluate` wrote of --samples")
    files = sorted(found.glob("*.json"), key=lambda file: (-file.stat().st_mtime_ns, file.name))
    if not files and whose is None:
        raise UsageError(
            f"{place} is no run folder (it has no config.yaml) and holds no evaluation; give the folders that "
            "modeling train made, or what `modeling evaluate` wrote of --samples"
        )
    return whose, files


def _read(place: Path, name: str, asked: Mapping[str, Any], say: Callable[[str], None]) -> Evaluation:
    run, files = _files(place)
    again = f"run `modeling evaluate {f'--run {place}' if run is not None else '--samples DIR'} --data SHARDS`"
    if not files:
        raise UsageError(f"{place} has no evaluation: {again}")
    for file in files:
        try:
            report = read_json(file, again)
        except ModelingError as error:
            raise UsageError(str(error)) from None
        facts = report.get("protocol")
        facts = facts if isinstance(facts, dict) else {}
        if all(facts.get(key) == value for key, value in asked.items()):
            _check(file, report, again)
            if len(files) > 1:
                say(f"{name}: {file.name}, the newest that fits of {len(files)} evaluations")
            return Evaluation(name=name, run=run, file=file, report=report)
    told = ", ".join(f"{'protocol' if key == 'name' else key} {value}" for key, value in asked.items())
    raise UsageError(f"{place} has no evaluation of {told}: {again}")


def _check(file: Path, report: Mapping[str, Any], again: str) -> None:
    if report.get("format") != FORMAT:
        raise UsageError(f"{file} is of format {report.get('format', 1)}, and this needs {FORMAT}: {again} again")
    broken = [key for key in KEYS if not isinstance(report.get(key), dict)]
    if not broken:
        broken = [f"protocol.{key}" for key in FACTS if key not in report["protocol"]]
    if not broken:
        extractors = report["protocol"].get("extractors")
        if not isinstance(extractors, dict) or not all(isinstance(about, dict) for about in extractors.values()):
            broken = ["protocol.extractors"]
    if not broken:
        broken = [f"{key}.{row}" for key in KEYS[1:] for row, of in report[key].items() if not isinstance(of, dict)]
    if not broken:
        broken = [f"protocol.{key}" for key in COUNTS if not _is_count(report["protocol"][key])]
    if not broken:
        broken = [
            f"metrics.{row}.{metric}"
            for row, entries in report["metrics"].items()
            for metric, entry in entries.items()
            if not _is_entry(entry)
        ]
    if not broken:
        broken = [
            f"curves.{row}.{name}"
            for row, of in report["curves"].items()
            for name, values in of.items()
            if values is not None and not (isinstance(values, list) and all(map(_is_number, values)))
        ]
    if broken:
        raise UsageError(f"{file} is damaged ({broken[0]} is missing or of a wrong kind): {again} again")


def _is_entry(entry: object) -> bool:
    """Whether this is a number of a report, with its interval and what it rests on."""
    return (
        isinstance(entry, dict)
        and {"value", "low", "high", "n", "few", "note"} <= set(entry)
        and all(_is_number(entry[key]) for key in ("value", "low", "high"))
        and isinstance(entry["n"], list)
        and len(entry["n"]) == 2
        and isinstance(entry["few"], bool)
        and isinstance(entry["note"], str)
    )


def _is_number(value: object) -> bool:
    """A finite number, or null where a score is undefined."""
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
