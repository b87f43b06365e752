"""Which package may import which: read from the source, so that a lazy import counts too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("db", "annotation_server", "curation", "modeling")
ALLOWED = {
    "db": set(),
    "annotation_server": {"db"},
    "curation": {"db", "annotation_server"},
    "modeling": {"db"},
}


def imports(package: str) -> Iterator[tuple[str, str]]:
    """(file, imported module) for each import of one of our packages from another."""
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in names:
                if name.split(".")[0] in PACKAGES and name.split(".")[0] != package:
                    yield str(path.relative_to(ROOT)), name


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows(package: str) -> None:
    found = list(imports(package))
    wrong = [(file, name) for file, name in found if name.split(".")[0] not in ALLOWED[package]]
    assert wrong == []
    if package == "modeling":  # the shard format alone; never the catalogue
        assert [(file, name) for file, name in found if not name.startswith("db.shards.")] == []
    if package == "curation":  # only its command starts the server
        assert {file for file, name in found if name.startswith("annotation_server")} <= {
            "curation/commands/annotate.py"
        }


def test_the_reader_of_imports_sees_them() -> None:
    assert ("curation/commands/init.py", "db.engine.create") in list(imports("curation"))
