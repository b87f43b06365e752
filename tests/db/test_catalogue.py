"""The catalogue: made, opened, refused; transactions under contention; constraints; the migration."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select

import db.engine
from db.engine import CATALOGUE, FOLDERS, Catalogue, CatalogueError, create, open_catalogue
from db.models import Base, Clip, Decision, Lease, Recipe, Score, Video
from db.recipes import recipe_hash


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


def test_an_older_catalogue_is_brought_up_to_date_with_all_that_is_in_it(tmp_path: Path) -> None:
    """Revision 0001 kept a score's settings in each row; they become a recipe, and nothing else changes."""
    with create(tmp_path) as catalogue:
        pass
    (tmp_path / CATALOGUE).unlink()
    engine = sa.create_engine(f"sqlite:///{tmp_path / CATALOGUE}")
    config = Config()
    config.set_main_option("script_location", str(Path(db.engine.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    moment = "2026-01-02 03:04:05.000000"
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in (
            f"INSERT INTO recipes VALUES ('r', 'cut', '{{}}', '{moment}')",
            f"INSERT INTO videos (id, provider, provider_id, source, state, tries, created_at) "
            f"VALUES ('v', 'file', 'v', '/v', 'downloaded', 0, '{moment}')",
            *(
                'INSERT INTO clips (id, video_id, recipe_hash, "index", start_pts, end_pts, time_base_num, '
                "time_base_den, start, end, frame_count, short, state, created_at) "
                f"VALUES ('c{n}', 'v', 'r', {n}, 0, 9, 1, 25, 0, 0.36, {9 + n}, 0, 'scored', '{moment}')"
                for n in range(2)
            ),
            *(
                f"INSERT INTO scores VALUES ('c{n}', 'variance', 0.00{n}5, "
                f'\'{{"equation": "3.19", "frames": {9 + n}}}\', \'{moment}\')'
                for n in range(2)
            ),
            f"INSERT INTO decisions (clip_id, annotator, verdict, review, created_at) "
            f"VALUES ('c1', 'me', 'reject', 'first', '{moment}')",
        ):
            connection.exec_driver_sql(statement)
        connection.commit()
    engine.dispose()
    with pytest.raises(CatalogueError, match="older version"):
        open_catalogue(tmp_path)
    with create(tmp_path) as catalogue, catalogue.reading() as session:
        scores = session.scalars(select(Score).order_by(Score.clip_id)).all()
        assert [(score.clip_id, score.name, score.value) for score in scores] == [
            ("c0", "variance", 0.0005),
            ("c1", "variance", 0.0015),
        ]
        assert len({score.settings_hash for score in scores}) == 1
        recipe = session.get_one(Recipe, scores[0].settings_hash)
        assert recipe.settings == {"kind": "score", "version": 1, "name": "variance", "equation": "3.19"}
        assert recipe_hash(recipe.settings) == recipe.hash
        assert session.scalars(select(Decision.verdict)).all() == ["reject"]
        assert session.get_one(Clip, "c1").frame_count == 10
    with catalogue.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_revisions_are_read_off_the_files_as_alembic_reads_them_in_the_files() -> None:
    config = Config()
    config.set_main_option("script_location", str(db.engine.MIGRATIONS))
    config.set_main_option("path_separator", "os")
    scripts = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert list(reversed(scripts)) == list(db.engine.REVISIONS)
