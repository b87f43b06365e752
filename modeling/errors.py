"""The errors that a user meets: each is one line that names the thing and what to do, with its exit status."""

from __future__ import annotations


class ModelingError(Exception):
    """A run, file or folder that cannot be used; exit status 1."""

    exit_status = 1


class UsageError(ModelingError):
    """A command that cannot be carried out as it was given; exit status 2."""

    exit_status = 2
