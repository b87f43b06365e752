"""The comparison's page in a real Chromium: stands alone, plays its videos in step, and works with the keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modeling.comparison import curves
from modeling.comparison.clips import Scene, Shown
from modeling.comparison.evaluations import read_evaluations
from modeling.comparison.page import render
from modeling.comparison.table import build
from tests.modeling.evaluated_runs import write_run

pytestmark = pytest.mark.browser

NAME = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("comparison")
    evaluations = read_evaluations([write_run(folder / "a", ssim=0.5), write_run(folder / "b", ssim=0.6)], [NAME, "b"])
    clip = np.random.default_rng(0).integers(0, 255, (25, 32, 32, 3), np.uint8)
    rows = [Shown(title=title, clip=clip, input=clip[0], labels=None) for title in ("real", NAME, "b")]
    scenes = [Scene(id=name, rows=rows) for name in ("lake", "river")]
    file = folder / "index.html"
    drawn = [("all", curves.draw(evaluations) or b"")]
    file.write_text(render(build(evaluations), [], drawn, scenes, [1, 5, 10, 15, 20]))
    return file


@pytest.fixture(params=[(1280, "light"), (420, "dark")], ids=["wide", "narrow"])
def tab(request: pytest.FixtureRequest, chromium: object, page_file: Path) -> Iterator[object]:
    width, scheme = request.param
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[attr-defined]
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda one: asked.append(one.url))
    page.goto(page_file.as_uri())
    yield page
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [page_file.as_uri()]


def test_page_plays_in_step_by_the_keyboard_and_fits(tab: object) -> None:
    ask = tab.evaluate  # type: ignore[attr-defined]
    assert ask("document.querySelectorAll('[onerror]').length") == 0
    assert ask("document.querySelector('.numbers tbody th').textContent") == NAME
    assert ask("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    assert ask("document.documentElement.scrollWidth <= innerWidth")
    tab.wait_for_function("() => [...document.querySelectorAll('video')].every(one => one.readyState >= 3)")  # type: ignore[attr-defined]
    tab.locator(".scene button").first.focus()  # type: ignore[attr-defined]
    tab.keyboard.press("Enter")  # type: ignore[attr-defined]
    tab.wait_for_function("() => document.querySelector('video').currentTime > 0.4", timeout=10_000)  # type: ignore[attr-defined]
    tab.keyboard.press("Enter")  # type: ignore[attr-defined]
    assert ask("document.querySelector('.scene button').textContent") == "Play"
    times = ask("[...document.querySelectorAll('.scene video')].map(one => one.currentTime)")
    assert max(times[:3]) - min(times[:3]) < 0.16, times  # two frames of 1/12.5 s
    assert times[3:] == [0, 0, 0]  # the other scene has its own button
    paused = ask("[...document.querySelectorAll('video')].map(one => one.paused)")
    assert all(paused)
