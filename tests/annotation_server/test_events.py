"""What a page may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation_server.events import Back, Bye, Clear, Confirm, Failed, Playing, SetMark, Stop, parse
from annotation_server.records import Mark, Reason

TOKEN = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("key", "event"),
    [
        (f"cell:{TOKEN}:0:1", SetMark(token=TOKEN, position=0, mark=Mark())),
        (f"cell:{TOKEN}:7:1:4", SetMark(token=TOKEN, position=7, mark=Mark(reason=Reason.TEXT))),
        (f"cell:{TOKEN}:24:0", SetMark(token=TOKEN, position=24, mark=None)),
        (f"enter:{TOKEN}:1500", Confirm(token=TOKEN, seen=1.5)),
        (f"clear:{TOKEN}", Clear(token=TOKEN)),
        (f"back:{TOKEN}", Back(token=TOKEN)),
        (f"stop:{TOKEN}", Stop(token=TOKEN)),
        (f"playing:{TOKEN}", Playing(token=TOKEN)),
        (f"failed:{TOKEN}", Failed(token=TOKEN)),
        (f"bye:{TOKEN}", Bye(token=TOKEN)),
    ],
)
def test_each_key_of_the_page_is_its_event(key: str, event: object) -> None:
    assert parse(key) == event


@pytest.mark.parametrize(
    "key",
    [
        "Enter",
        "a",
        "",
        None,
        7,
        ["cell"],
        {"key": "Enter"},
        f"enter:{TOKEN}",
        f"enter:{TOKEN}:",
        f"enter:{TOKEN}:-5",
        f"enter:{TOKEN}:1e3",
        f"enter:{TOKEN}:99999999999",
        f"enter:{TOKEN}:1:2",
        f"cell:{TOKEN}",
        f"cell:{TOKEN}:3",
        f"cell:{TOKEN}:3:2",
        f"cell:{TOKEN}:3:0:1",
        f"cell:{TOKEN}:3:1:0",
        f"cell:{TOKEN}:3:1:7",
        f"cell:{TOKEN}:3:1:11",
        f"cell:{TOKEN}:-1:1",
        f"cell:{TOKEN}:12345:1",
        f"cell:{TOKEN}:٣:1",
        f"cell:{TOKEN.upper()}:3:1",
        f"cell:{TOKEN[1:]}:3:1",
        f"stop:{TOKEN}:1",
        f"stop:{TOKEN}\n",
        f"drop:{TOKEN}",
        f"cell:{TOKEN}:3:1" + " " * 100,
        "x" * 1_000_000,
    ],
)
def test_anything_else_is_no_event(key: object) -> None:
    assert parse(key) is None


@given(st.text(max_size=120) | st.binary() | st.integers())
def test_no_input_makes_the_parser_fail(key: object) -> None:
    event = parse(key)
    assert event is None or (isinstance(key, str) and event.token in key)


@given(position=st.integers(0, 9999), marked=st.booleans(), milliseconds=st.integers(0, 86_400_000))
def test_values_come_through(position: int, marked: bool, milliseconds: int) -> None:
    assert parse(f"cell:{TOKEN}:{position}:{int(marked)}") == SetMark(
        token=TOKEN, position=position, mark=Mark() if marked else None
    )
    assert parse(f"enter:{TOKEN}:{milliseconds}") == Confirm(token=TOKEN, seen=milliseconds / 1000)
