"""The catalogue: made, opened, refused; transactions under contention; constraints; the migration."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select

from db.engine import CATALOGUE, FOLDERS, Catalogue, CatalogueError, create, open_catalogue
from db.models import Base, Clip, Decision, Lease, Recipe, Video


def add_video(catalogue: Catalogue, name: str, **values: object) -> None:
    with catalogue.writing() as session:
        session.add(Video(id=name, provider="file", provider_id=name, source=f"/{name}", **values))


def test_the_migration_makes_exactly_the_models(catalogue: Catalogue) -> None:
    with catalogue.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        tables = set(sa.inspect(connection).get_table_names())
    assert tables == {*Base.metadata.tables, "alembic_version"}


def test_init_makes_the_folders_and_can_be_repeated(tmp_path: Path) -> None:
    create(tmp_path / "a").close()
    with create(tmp_path / "a") as catalogue:
        add_video(catalogue, "x")
    with create(tmp_path / "a") as catalogue, catalogue.reading() as session:
        assert session.scalars(select(Video.id)).all() == ["x"]
    assert all((tmp_path / "a" / name).is_dir() for name in FOLDERS)


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="curate init"):
        open_catalogue(tmp_path / "nowhere")
    with pytest.raises(CatalogueError, match="curate init"):
        open_catalogue(tmp_path)
    (tmp_path / CATALOGUE).write_bytes(b"not a database, but long enough to look like one" * 50)
    with pytest.raises(CatalogueError, match=CATALOGUE):
        open_catalogue(tmp_path)


@pytest.mark.parametrize(("revision", "message"), [("9999", "newer version"), (None, "holds no catalogue")])
def test_other_versions_are_refused(tmp_path: Path, revision: str | None, message: str) -> None:
    create(tmp_path).close()
    with sqlite3.connect(tmp_path / CATALOGUE) as connection:
        connection.execute("DELETE FROM alembic_version")
        if revision:
            connection.execute("INSERT INTO alembic_version VALUES (?)", [revision])
    with pytest.raises(CatalogueError, match=message):
        open_catalogue(tmp_path)
    if revision:
        with pytest.raises(CatalogueError, match=message):
            create(tmp_path)


def test_init_takes_the_dataset_for_itself(tmp_path: Path) -> None:
    with create(tmp_path), pytest.raises(CatalogueError, match="in use by another command"):
        create(tmp_path)
    with create(tmp_path), open_catalogue(tmp_path):
        pass


def test_writes_are_whole_or_not_at_all(catalogue: Catalogue) -> None:
    with pytest.raises(RuntimeError), catalogue.writing() as session:
        session.add(Video(id="x", provider="file", provider_id="x", source="/x"))
        session.flush()
        raise RuntimeError
    with catalogue.reading() as session:
        assert session.scalars(select(Video)).all() == []


def test_constraints_hold(catalogue: Catalogue) -> None:
    add_video(catalogue, "x")
    for bad in (
        {"id": "y", "provider": "file", "provider_id": "x", "source": "/x"},
        {"id": "z", "provider": "file", "provider_id": "z", "source": "/z", "state": "lost"},
    ):
        with pytest.raises(sa.exc.IntegrityError), catalogue.writing() as session:
            session.add(Video(**bad))
    with pytest.raises(sa.exc.IntegrityError), catalogue.writing() as session:
        session.add(Decision(clip_id="nowhere", annotator="me", verdict="accept"))


def test_decisions_are_append_only(catalogue: Catalogue) -> None:
    add_video(catalogue, "x")
    with catalogue.writing() as session:
        session.add(Recipe(hash="r", kind="cut", settings={}))
        session.flush()
        session.add(
            Clip(
                id="c", video_id="x", recipe_hash="r", index=0, start_pts=0, end_pts=1, time_base_num=1,
                time_base_den=1, start=0, end=1, frame_count=1,
            )
        )  # fmt: skip
        session.flush()
        session.add(Decision(clip_id="c", annotator="me", verdict="accept"))
    for statement in ("UPDATE decisions SET verdict = 'reject'", "DELETE FROM decisions"):
        with pytest.raises(sa.exc.IntegrityError, match="append-only"), catalogue.writing() as session:
            session.execute(sa.text(statement))


def _count_up(folder: Path, times: int) -> None:
    with open_catalogue(folder) as catalogue:
        for _ in range(times):
            with catalogue.writing() as session:
                lease = session.get_one(Lease, ("count", "x"))
                lease.token += 1


def test_writers_in_other_processes_wait_their_turn(tmp_path: Path) -> None:
    """Read-then-write from four processes at once: a deferred BEGIN would lose updates or fail with 'locked'."""
    from db.models import now

    with create(tmp_path) as catalogue, catalogue.writing() as session:
        session.add(Lease(stage="count", item_id="x", token=0, expires_at=now()))
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_count_up, args=(tmp_path, 50)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    with open_catalogue(tmp_path) as catalogue, catalogue.reading() as session:
        assert session.get_one(Lease, ("count", "x")).token == 200


def test_another_database_by_url(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    with create(tmp_path / "data", url) as catalogue:
        add_video(catalogue, "x")
    assert not (tmp_path / "data" / CATALOGUE).exists()
    with open_catalogue(tmp_path / "data", url) as catalogue, catalogue.reading() as session:
        assert session.scalars(select(Video.id)).all() == ["x"]
    with pytest.raises(CatalogueError, match="nonsense"):
        open_catalogue(tmp_path / "data", "nonsense://x")
