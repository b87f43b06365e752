"""Leases: each item once, expired ones taken over, late finishers told apart."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from sqlalchemy import select, update

from db.engine import Catalogue, create, open_catalogue
from db.leases import Claims, LeaseLost, claim, finish, free_leases_of_the_dead, held, release, renew, worker_name
from db.models import Attempt, Video, now

VIDEOS = select(Video.id).order_by(Video.id)


def fill(catalogue: Catalogue, count: int) -> None:
    with catalogue.writing() as session:
        session.add_all(
            Video(id=f"v{i:03d}", provider="file", provider_id=str(i), source=f"/{i}") for i in range(count)
        )


def test_an_item_is_claimed_once_until_given_back(catalogue: Catalogue) -> None:
    fill(catalogue, 3)
    first = claim(catalogue, "download", VIDEOS, "a", limit=2)
    assert [c.item_id for c in first] == ["v000", "v001"]
    assert [c.item_id for c in claim(catalogue, "download", VIDEOS, "b", limit=5)] == ["v002"]
    assert [c.item_id for c in claim(catalogue, "cut", VIDEOS, "b", limit=5)] == ["v000", "v001", "v002"]
    release(catalogue, first)
    assert [c.item_id for c in claim(catalogue, "download", VIDEOS, "b", limit=5)] == ["v000", "v001"]


def test_looking_ahead_shares_every_item_once_and_in_order(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.leases.LOOKED_AHEAD", 7)
    monkeypatch.setattr("db.leases.SPARE", 2)
    fill(catalogue, 60)
    gone = {"v004", "v005", "v006", "v007", "v030"}
    still = VIDEOS.where(Video.title.is_(None))
    workers = {name: Claims(catalogue, "download", still, name) for name in "ab"}
    got: dict[str, list[str]] = {"a": [], "b": []}
    for turn in range(100):
        name = "ab"[turn % 3 == 0]
        claims = workers[name].take(1 + turn % 4)
        got[name] += [one.item_id for one in claims]
        assert {one.owner for one in claims} <= {name}
        if turn == 0:
            with catalogue.writing() as session:  # no candidates any more, after they were looked up
                session.execute(update(Video).where(Video.id.in_(gone)).values(title="gone"))
    assert sorted(got["a"] + got["b"]) == [f"v{i:03d}" for i in range(60) if f"v{i:03d}" not in gone]
    assert all(ids == sorted(ids) for ids in got.values())
    assert min(len(ids) for ids in got.values()) > 10
    assert [claims.take(3) for claims in workers.values()] == [[], []]


def test_an_expired_lease_is_taken_over_and_its_holder_told(catalogue: Catalogue) -> None:
    fill(catalogue, 1)
    (late,) = claim(catalogue, "download", VIDEOS, "a", seconds=-1)
    (new,) = claim(catalogue, "download", VIDEOS, "b")
    assert new.token == late.token + 1
    with pytest.raises(LeaseLost), catalogue.writing() as session:
        finish(session, late)
    with pytest.raises(LeaseLost):
        renew(catalogue, late)
    release(catalogue, [late])  # must not free the other's
    assert claim(catalogue, "download", VIDEOS, "c") == []
    with catalogue.writing() as session:
        finish(session, new)
    assert len(claim(catalogue, "download", VIDEOS, "c")) == 1


def test_holding_renews(catalogue: Catalogue) -> None:
    fill(catalogue, 1)
    (mine,) = claim(catalogue, "download", VIDEOS, "a", seconds=0.3)
    with held(catalogue, mine, seconds=0.3):
        time.sleep(0.8)
        assert claim(catalogue, "download", VIDEOS, "b") == []


def _work(folder: Path, name: str) -> None:
    with open_catalogue(folder) as catalogue:
        left = VIDEOS.where(Video.title.is_(None))
        while claims := claim(catalogue, "work", left, name):
            with catalogue.writing() as session:
                finish(session, claims[0])
                session.get_one(Video, claims[0].item_id).title = name
                session.add(
                    Attempt(stage="work", item_id=claims[0].item_id, worker=name, started_at=now(), outcome="done")
                )


def test_processes_share_without_doing_anything_twice(tmp_path: Path) -> None:
    with create(tmp_path) as catalogue:
        fill(catalogue, 120)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(tmp_path, f"w{i}")) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 3
    with open_catalogue(tmp_path) as catalogue, catalogue.reading() as session:
        done = session.scalars(select(Attempt.item_id)).all()
    assert sorted(done) == [f"v{i:03d}" for i in range(120)]


def _claim_and_die(folder: Path) -> None:
    with open_catalogue(folder) as catalogue:
        claim(catalogue, "work", VIDEOS, worker_name(), limit=2)
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_leases_of_a_killed_process_are_free_at_once(tmp_path: Path) -> None:
    with create(tmp_path) as catalogue:
        fill(catalogue, 3)
    worker = multiprocessing.get_context("spawn").Process(target=_claim_and_die, args=(tmp_path,))
    worker.start()
    worker.join()
    assert worker.exitcode == -signal.SIGKILL
    with open_catalogue(tmp_path) as catalogue:
        (mine,) = claim(catalogue, "work", VIDEOS, worker_name())
        elsewhere = claim(catalogue, "cut", VIDEOS, "another-host:1:0")
        assert mine.item_id == "v002"
        assert free_leases_of_the_dead(catalogue, "work") == 2
        assert free_leases_of_the_dead(catalogue, "cut") == 0
        assert len(elsewhere) == 1
        assert [c.item_id for c in claim(catalogue, "work", VIDEOS, "other", limit=5)] == ["v000", "v001"]
