"""Nested plain values (a YAML file, `--set`) to frozen dataclasses, by their type hints; errors name the option."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints


class ConfigError(ValueError):
    """A configuration that cannot be trained: one line that names the option and what it may be."""


def require(condition: bool, message: str) -> None:
    """Raise ConfigError(message) unless `condition` holds."""
    if not condition:
        raise ConfigError(message)


def unknown_option(key: str, known: list[str]) -> str:
    """The message for an option that does not exist, with those that were most likely meant."""
    by_end = {path.rpartition(".")[2]: path for path in reversed(known)}
    ends = difflib.get_close_matches(key.rpartition(".")[2], list(by_end), n=3, cutoff=0.5)
    near = list(dict.fromkeys(difflib.get_close_matches(key, known, n=3) + [by_end[end] for end in ends]))[:3]
    return f"unknown option {key!r}; nearest: {', '.join(near)}" if near else f"unknown option {key!r}"


def option_paths(cls: type, prefix: str = "") -> Iterable[str]:
    """The dotted path of every option of the dataclass `cls` and of those nested in it."""
    for name, hint in get_type_hints(cls).items():
        if dataclasses.is_dataclass(hint):
            yield from option_paths(typing.cast(type, hint), f"{prefix}{name}.")
        else:
            yield prefix + name


def plain(value: Any) -> Any:
    """`value` with its tuples as lists, as YAML and JSON write them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


_Section = TypeVar("_Section")


def build(cls: type[_Section], values: Any, prefix: str = "") -> _Section:
    """The dataclass `cls` from nested plain values; an unknown, missing or ill-typed key is a ConfigError."""
    where = prefix.rstrip(".") or "the configuration"
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be a mapping of options, not {values!r}")
    hints = get_type_hints(cls)
    for key in values:
        if key not in hints:
            raise ConfigError(unknown_option(f"{prefix}{key}", [prefix + name for name in hints]))
    for spec in dataclasses.fields(typing.cast(Any, cls)):
        optional = spec.default is not dataclasses.MISSING or spec.default_factory is not dataclasses.MISSING
        require(optional or spec.name in values, f"{where} lacks the option {prefix}{spec.name}")
    return cls(**{name: _convert(hints[name], value, prefix + name) for name, value in values.items()})


def _convert(hint: Any, value: Any, path: str) -> Any:
    """`value`, as YAML gives it, as the type `hint`; YAML 1.1 reads `off` as False and `1e-4` as text."""
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, path + ".")
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if type(None) in arguments and (value is None or value is False or value in ("none", "off")):
            return None
        for argument in arguments:
            try:
                return _convert(argument, value, path)
            except ConfigError:
                continue
    elif origin is Literal:
        word = {True: "on", False: "off"}[value] if isinstance(value, bool) else value
        if word in arguments:
            return word
        raise ConfigError(f"{path} must be one of {', '.join(map(str, arguments))}, not {word}")
    elif origin is tuple:
        if isinstance(value, str):
            value = value.replace(",", " ").split()
        fixed = None if arguments[-1] is Ellipsis else len(arguments)
        if isinstance(value, (list, tuple)) and fixed in (None, len(value)):
            return tuple(_convert(arguments[0], item, path) for item in value)
    elif hint in (bool, str) and isinstance(value, hint):
        return value
    elif hint in (int, float) and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if hint is float and not math.isnan(number):
            return number
        if hint is int and number.is_integer():
            return int(value) if not isinstance(value, str) else int(number)
    raise ConfigError(f"{path} must be {_described(hint)}, not {value!r}")


def _described(hint: Any) -> str:
    names = {bool: "on or off", int: "a whole number", float: "a number", str: "text", type(None): "off"}
    if hint in names:
        return names[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin is tuple:
        return "a list of numbers" if arguments[-1] is Ellipsis else f"{len(arguments)} numbers"
    return " or ".join(_described(argument) for argument in arguments)
