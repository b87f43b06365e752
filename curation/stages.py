"""How a stage goes through its items: claimed by leases, worked on by processes, stored one transaction an item.

A stage can be run again at any time and does only what is left. Several commands on one dataset share the items. What
fails is recorded with its class and left alone until `retry`.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from curation.errors import ErrorClass, StageError
from db.engine import Catalogue
from db.leases import (
    LEASE_SECONDS,
    Claim,
    Claims,
    LeaseLost,
    finish,
    free_leases_of_the_dead,
    release,
    renew,
    worker_name,
)
from db.models import Attempt, now

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Stage(Generic[J, R]):
    """A stage's parts. `work` runs in a worker process: a function of a module, its job and result picklable."""

    name: str
    candidates: Select[Any]  # ids of the items that are left, in order
    job: Callable[[Session, str], J]  # what the worker needs to know of an item
    work: Callable[[J], R]  # may raise StageError
    store: Callable[[Session, str, R], None]
    fail: Callable[[Session, str, StageError], None]


@dataclass(kw_only=True)
class Result:
    """What became of the items of one call: ids done, and (id, error) of those that failed."""

    done: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    elsewhere: int = 0  # left, because another command works on them


def run_stage(
    catalogue: Catalogue, stage: Stage[J, R], *, workers: int = 1, done: Callable[[str], None] = lambda item: None
) -> Result:
    """Work through all items that nobody else holds. `done` is called after each."""
    result = Result()
    free_leases_of_the_dead(catalogue, stage.name)
    with _pool(workers) as pool:
        try:
            _loop(catalogue, stage, pool, workers if workers == 1 else workers + 1, result, done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    with catalogue.reading() as session:
        result.elsewhere = session.scalar(select(func.count()).select_from(stage.candidates.subquery())) or 0
    return result


def _pool(workers: int) -> Executor:
    if workers == 1:  # a thread spares the start of a process, and leaves this one free to renew the lease
        return ThreadPoolExecutor(1, thread_name_prefix="stage")
    # Not forked: this process has threads (leases, progress) whose locks a fork would copy.
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def _loop(
    catalogue: Catalogue,
    stage: Stage[J, R],
    pool: Executor,
    at_once: int,
    result: Result,
    done: Callable[[str], None],
) -> None:
    claims = Claims(catalogue, stage.name, stage.candidates, worker_name())
    renewed = time.monotonic()
    running: dict[Future[R], tuple[Claim, datetime]] = {}
    tried: set[str] = set()
    try:
        while True:
            if len(running) < at_once:
                for claimed in claims.take(at_once - len(running)):
                    if claimed.item_id in tried:
                        release(catalogue, [claimed])
                        raise RuntimeError(f"{stage.name} left {claimed.item_id} among its candidates")
                    tried.add(claimed.item_id)
                    running[_start(catalogue, stage, pool, claimed.item_id)] = (claimed, now())
            if not running:
                return
            finished, _ = wait(running, timeout=LEASE_SECONDS / 4, return_when=FIRST_COMPLETED)
            for future in finished:
                claimed, started = running.pop(future)
                _conclude(catalogue, stage, claimed, started, future, result)
                done(claimed.item_id)
            if time.monotonic() - renewed > LEASE_SECONDS / 4:
                renewed = time.monotonic()
                for claimed, _started in running.values():
                    with suppress(LeaseLost):  # told when it finishes
                        renew(catalogue, claimed)
    except BrokenProcessPool:
        raise StageError(
            ErrorClass.UNKNOWN,
            f"a worker process of '{stage.name}' was killed (out of memory?); run it again with fewer --workers",
        ) from None
    finally:
        release(catalogue, [claimed for claimed, _ in running.values()])


def _start(catalogue: Catalogue, stage: Stage[J, R], pool: Executor, item: str) -> Future[R]:
    try:
        with catalogue.reading() as session:
            job = stage.job(session, item)
    except StageError as error:  # its source is gone, say: the item fails like any other
        failed: Future[R] = Future()
        failed.set_exception(error)
        return failed
    return pool.submit(stage.work, job)


def _conclude(
    catalogue: Catalogue, stage: Stage[J, R], claimed: Claim, started: datetime, future: Future[R], result: Result
) -> None:
    """Store a result, or its error, if the claim still holds."""
    error: StageError | None = None
    value: R | None = None
    try:
        value = future.result()
    except StageError as raised:
        error = raised
    except BaseException:
        # Not the item's fault (a full disk, a broken pool): nothing is recorded against it.
        release(catalogue, [claimed])
        raise
    item = claimed.item_id
    try:
        with catalogue.writing() as session:
            finish(session, claimed)
            if error is None:
                stage.store(session, item, value)  # type: ignore[arg-type]
            else:
                stage.fail(session, item, error)
            session.add(
                Attempt(
                    stage=stage.name,
                    item_id=item,
                    worker=claimed.owner,
                    started_at=started,
                    outcome="done" if error is None else "failed",
                    error_class=error.error_class if error else None,
                    message=error.message if error else None,
                )
            )
    except LeaseLost:
        return
    if error is None:
        result.done.append(item)
    else:
        result.failed.append((item, str(error)))
