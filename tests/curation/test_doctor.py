"""`curate doctor`: each check tells what is there from what lacks, with its cost and remedy, and changes nothing."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from packaging.requirements import Requirement
from sqlalchemy import select, text

from curation.commands import main
from curation.upkeep import doctor, doctor_dataset
from curation.upkeep.doctor import Check
from db.engine import CATALOGUE, Catalogue
from db.models import Lease, Pause, Recipe, now

TODAY = date(2026, 11, 22)


def curate(*arguments: object) -> Result:
    result = CliRunner().invoke(main, ["doctor", *map(str, arguments)])
    assert "Traceback" not in result.output
    return result


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name.split(" /")[0]: check for check in checks}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that is the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("STILLFLOW_CHROMIUM", raising=False)
    return folder


def install(folder: Path, name: str, says: str, status: int = 0) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {status}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_here_nothing_that_is_needed_is_missing(catalogue: Catalogue) -> None:
    result = curate("--dataset", catalogue.folder)
    assert result.exit_code == 0, result.output
    assert "H.264 encodes and decodes" in result.output
    assert "catalogue: schema 0" in result.output
    assert ", 0 missing" in result.output


def test_outside_of_a_dataset(tmp_path: Path) -> None:
    result = curate("--dataset", tmp_path, "--json")
    assert result.exit_code == 0
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert "make one with: curate init" in checks["catalogue"]["found"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    result = curate("--dataset", tmp_path / "none")
    assert result.exit_code == 1
    assert "MISSING  folder" in result.output and "remedy: name another" in result.output
    assert f"failed: folder {tmp_path / 'none'}" in result.output


def test_a_folder_that_cannot_be_written_to() -> None:
    check = next(iter(doctor_dataset.folder(Path("/proc"))))
    assert check.state == "missing" and "cannot be written to" in check.found


def test_all_packages_of_this_version_are_looked_at() -> None:
    names = {each.name for each in doctor.requirements()}
    assert {"av", "sqlalchemy", "yt-dlp", "google-api-python-client", "scenedetect-headless"} <= names
    assert "pytest" not in names
    listed = [Requirement("av>=15"), Requirement("numpy>=999"), Requirement("no-such-package>=1")]
    checks = by_name(list(doctor.packages(listed)))
    assert checks["packages"].found == "1 as needed"
    assert checks["numpy"].state == "missing" and ">=999 is needed" in checks["numpy"].found
    assert checks["no-such-package"].found == "not installed"
    assert "no-such-package>=1" in (checks["no-such-package"].remedy or "")


def test_codecs_that_do_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {check.state for check in doctor.codecs()} == {"ok"}
    monkeypatch.setattr(doctor, "round_trip", lambda: 3)
    monkeypatch.setattr(doctor, "_decodes", lambda codec: codec == "vp9")
    checks = list(doctor.codecs())
    assert [(check.state) for check in checks] == ["missing", "warning", "ok", "warning"]
    assert "3 of 5" in checks[0].found
    monkeypatch.undo()
    assert not doctor._decodes("no-such-codec")


@pytest.mark.parametrize(
    ("version", "state"),
    [("2026.11.01", "ok"), ("2026.9.23", "ok"), ("2026.9.22", "warning"), ("nightly", "warning"), (None, "missing")],
)
def test_the_age_of_ytdlp(version: str | None, state: str) -> None:
    assert [check.state for check in doctor.ytdlp(version, TODAY)] == [state]


def test_a_clock_that_is_behind_what_is_installed() -> None:
    assert {check.name: check.state for check in doctor.ytdlp("2026.12.1", TODAY)} == {
        "yt-dlp": "ok",
        "clock": "warning",
    }


@pytest.mark.parametrize(
    ("installed", "state", "said"),
    [
        ({}, "warning", "yt-dlp-ejs"),
        ({"deno": "deno 2.3.0 (stable, release)"}, "ok", "Deno 2.3.0"),
        ({"deno": "deno 2.2.11"}, "warning", "older than 2.3"),
        ({"node": "v22.0.0"}, "ok", "Node 22.0.0"),
        ({"node": "v20.19.1"}, "warning", "Node 20.19.1 (older than 22.0)"),
        ({"node": "v20.19.1", "deno": "deno 2.10.1"}, "ok", "Deno 2.10.1, Node 20.19.1"),
    ],
)
def test_javascript(programs: Path, installed: dict[str, str], state: str, said: str) -> None:
    for name, version in installed.items():
        install(programs, name, version)
    (check,) = doctor.javascript()
    assert check.state == state
    assert said in check.found


def test_programs(programs: Path) -> None:
    arguments = {"cost": "c", "remedy": "r"}
    assert doctor.program("ffmpeg", ["-version"], r"version (\S+)", **arguments).state == "warning"
    install(programs, "ffmpeg", "ffmpeg version 5.1.9 Copyright")
    assert doctor.program("ffmpeg", ["-version"], r"version (\S+)", **arguments).found == "5.1.9"
    install(programs, "ffmpeg", "broken", status=1)
    assert doctor.program("ffmpeg", ["-version"], r"version (\S+)", **arguments).state == "warning"


def test_chromium(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.chromium().found == "not found"
    install(programs, "chromium", "Chromium 130.0.1 built on Debian")
    assert "130.0.1" in doctor.chromium().found
    monkeypatch.setenv("STILLFLOW_CHROMIUM", str(programs / "none"))
    assert (doctor.chromium().state, "does not run" in doctor.chromium().found) == ("warning", True)


def test_browser_assets() -> None:
    assert doctor.browser_assets(0, "/cache").state == "ok"
    assert doctor.browser_assets(3, "/cache").found == "3 missing in /cache"


def test_disk() -> None:
    assert [doctor_dataset.disk(free).state for free in (10**7, 10**9, 10**11)] == ["missing", "warning", "ok"]


def test_a_damaged_catalogue(catalogue: Catalogue) -> None:
    with catalogue.writing() as session:
        for number in range(2000):
            session.add(Recipe(hash=f"{number:064}", kind="test", settings={"number": number}))
    with catalogue.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        root = connection.execute(text("SELECT rootpage FROM sqlite_master WHERE name = 'recipes'")).scalar_one()
        size = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
    catalogue.close()
    path = catalogue.folder / CATALOGUE
    broken = bytearray(path.read_bytes())
    broken[(root - 1) * size : (root - 1) * size + 200] = b"\xff" * 200
    path.write_bytes(broken)
    result = curate("--dataset", catalogue.folder)
    assert result.exit_code == 1
    assert "MISSING  catalogue: damaged: " in result.output
    assert ".recover" in result.output


def test_a_catalogue_of_a_newer_version(catalogue: Catalogue) -> None:
    with catalogue.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    catalogue.close()
    result = curate("--dataset", catalogue.folder)
    assert result.exit_code == 1
    assert "was made by a newer version" in result.output


def test_leases_of_workers_that_died(catalogue: Catalogue) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    soon = now() + timedelta(minutes=5)
    mine, dead = (f"{socket.gethostname()}:{pid}:0" for pid in (os.getpid(), ended.pid))
    with catalogue.writing() as session:
        session.add(Lease(stage="score", item_id="a", owner=mine, token=1, expires_at=soon))
        session.add(Lease(stage="score", item_id="b", owner=None, token=1, expires_at=now()))
    assert doctor_dataset.leases(catalogue).found == "items being worked on: 1"
    with catalogue.writing() as session:
        session.add(Lease(stage="download", item_id="c", owner=dead, token=1, expires_at=soon))
        session.add(Lease(stage="cut", item_id="d", owner="elsewhere:1:0", token=1, expires_at=now()))
    check = doctor_dataset.leases(catalogue)
    assert check.state == "warning"
    assert check.found == "2 of 3 are of workers that have died (cut, download)"
    with catalogue.reading() as session:
        assert len(session.scalars(select(Lease)).all()) == 4


def test_sites_that_are_left_alone(catalogue: Catalogue) -> None:
    assert doctor_dataset.pauses(catalogue).state == "ok"
    with catalogue.writing() as session:
        session.add(Pause(provider="youtube", error_class="bot-check", message="", until=now() + timedelta(hours=1)))
        session.add(Pause(provider="vimeo", error_class="network", message="", until=now() - timedelta(hours=1)))
    check = doctor_dataset.pauses(catalogue)
    assert check.state == "warning" and "youtube until" in check.found and "vimeo" not in check.found
    assert check.remedy == "wait, or: curate retry --error bot-check"


def test_the_clock(catalogue: Catalogue) -> None:
    assert doctor_dataset.clock(catalogue).state == "ok"
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert doctor_dataset.clock_of(moment + timedelta(minutes=1), moment).state == "ok"
    behind = doctor_dataset.clock_of(moment + timedelta(hours=1), moment)
    assert behind.state == "warning" and "2026-01-01 01:00" in behind.found


def test_a_lack_has_a_cost_and_a_remedy() -> None:
    with pytest.raises(ValueError, match="cost"):
        Check(name="x", state="missing", found="none")
