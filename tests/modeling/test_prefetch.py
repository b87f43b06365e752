"""Batches read ahead by a thread: the source's items in its order, its errors, its end, and no more than asked for."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from modeling.data.prefetch import ReadAhead


def test_the_items_come_in_their_order() -> None:
    reader = ReadAhead(iter(range(100)), ahead=3)
    assert list(reader) == list(range(100))
    with pytest.raises(StopIteration):
        next(reader)
    reader.close()


def test_no_more_is_read_than_may_be_held() -> None:
    taken = []

    def source() -> Iterator[int]:
        for item in itertools.count():
            taken.append(item)
            yield item

    reader = ReadAhead(source(), ahead=3)
    for wanted in range(5):
        assert next(reader) == wanted
        time.sleep(0.05)
        assert len(taken) <= wanted + 1 + 3 + 1  # handed on, held, and the one that waits to be held
    reader.close()
    assert not any(thread.name == "read-ahead" for thread in threading.enumerate())


def test_an_error_of_the_source_comes_where_its_item_would() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("the shard is gone")

    reader = ReadAhead(source())
    assert next(reader) == 1
    with pytest.raises(OSError, match="the shard is gone"):
        next(reader)
    with pytest.raises(StopIteration):
        next(reader)
    reader.close()


def test_the_wait_is_that_for_the_source() -> None:
    let_go = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        let_go.wait(20)
        yield 2

    reader = ReadAhead(source())
    assert next(reader) == 1
    reader.waited()
    threading.Timer(0.2, let_go.set).start()
    assert next(reader) == 2
    assert 0.1 < reader.waited() < 20
    assert reader.waited() == 0
    reader.close()
