"""Leases: each item once, expired ones taken over, late finishers told apart."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from db.engine import Catalogue, create, open_catalogue
from db.leases import LeaseLost, claim, finish, free_leases_of_the_dead, held, release, renew, worker_name
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
