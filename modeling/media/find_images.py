"""Which images a command was given: files, and those that lie in folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from modeling.errors import UsageError

# What the reader decodes; a file that is named itself is tried whatever its ending.
ENDINGS = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))


@dataclass(frozen=True)
class Found:
    """Images in the order in which they were asked for, and what was left aside."""

    images: list[Path] = field(default_factory=list)
    folders: int = 0
    skipped: Counter[str] = field(default_factory=Counter)  # other files of the folders, by ending
    nested: int = 0  #                                        folders in folders, which are not looked into

    def remarks(self) -> list[str]:
        """What was left aside, a line each."""
        lines = []
        if self.skipped:
            kinds = ", ".join(f"{count} {ending}" for ending, count in sorted(self.skipped.items()))
            lines.append(f"skipped {sum(self.skipped.values())} files that are no images ({kinds})")
        if self.nested:
            lines.append(f"{self.nested} folders inside the given ones were not looked into: name them too")
        return lines


def find_images(given: Iterable[Path], *, leave_out: Iterable[Path] = ()) -> Found:
    """Files as they are named; of a folder its images sorted by name, not those of the folders in it.

    Hidden files and `leave_out` (what the command itself writes) are passed over. UsageError where nothing is left.
    """
    own = {path.resolve() for path in leave_out}
    images: list[Path] = []
    skipped: Counter[str] = Counter()
    folders = nested = 0
    for path in given:
        if not path.is_dir():
            images.append(path)
            continue
        folders += 1
        try:
            inside = sorted(path.iterdir(), key=lambda file: (file.name.casefold(), file.name))
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
        for file in inside:
            if file.name.startswith(".") or file.resolve() in own:
                continue
            if file.is_dir():
                nested += 1
            elif file.suffix.lower() in ENDINGS:
                images.append(file)
            else:
                skipped[file.suffix.lower() or "without ending"] += 1
    found = Found(images, folders, skipped, nested)
    if not images:
        remarks = "; ".join(found.remarks())
        raise UsageError(
            f"no image in {', '.join(str(path) for path in given)}{f' ({remarks})' if remarks else ''}: "
            f"give files, or folders with {', '.join(sorted(ENDINGS))}"
        )
    return found
