"""`curate annotate` as a whole, with a page that is a socket."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select, update

from curation.commands import main
from db.engine import create
from db.models import Clip, Decision
from db.states import ClipState
from tests.browser.review_dataset import make_dataset
from tests.browser.review_process import ROOT, SocketCurator, annotating


def _run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["annotate", *arguments], env=env)


def test_with_nothing_to_review_it_says_so_and_what_comes_next(tmp_path: Path) -> None:
    create(tmp_path / "empty").close()
    result = _run("--dataset", str(tmp_path / "empty"))
    assert result.exit_code == 0
    assert "nothing to review: no pending clip is free" in result.output
    assert "next: curate status" in result.output
    make_dataset(tmp_path / "done", 3, seconds=0.2, state=ClipState.ACCEPTED).close()
    result = _run("--dataset", str(tmp_path / "done"), "--json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert (answer["kept"], answer["left"], answer["finished"]) == (0, 0, True)
    assert answer["next"].startswith("curate split")


@pytest.mark.parametrize(
    ("arguments", "env", "message"),
    [
        (["--host", "0.0.0.0"], {}, "set VISDOM_USERNAME and VISDOM_PASSWORD first"),
        (["--annotator", " "], {}, "1 to 64 printable characters"),
        (["--annotator", "a\x1b[31m"], {}, "1 to 64 printable characters"),
        (["--annotator", "a" * 65], {}, "1 to 64 printable characters"),
        (["--batch-size", "0"], {}, "not in the range"),
        (["--min-view", "-1"], {}, "not in the range"),
        (["--port", "70000"], {}, "not in the range"),
        (["--order", "best"], {}, "is not one of"),
    ],
)
def test_bad_usage_is_told_in_one_line(tmp_path: Path, arguments: list[str], env: dict[str, str], message: str) -> None:
    make_dataset(tmp_path, 1, seconds=0.2).close()
    blank = {"VISDOM_USERNAME": "", "VISDOM_PASSWORD": ""}
    result = _run("--dataset", str(tmp_path), *arguments, env={**blank, **env})
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_folder_that_is_no_dataset(tmp_path: Path) -> None:
    result = _run("--dataset", str(tmp_path))
    assert result.exit_code == 2
    assert "is not a dataset folder" in result.output


def test_a_visdom_server_that_does_not_answer(tmp_path: Path) -> None:
    make_dataset(tmp_path, 1, seconds=0.2).close()
    result = _run("--dataset", str(tmp_path), "--server", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "no Visdom server answers at http://127.0.0.1:9" in result.output


def test_two_annotators_share_the_clips_and_one_name_works_once(tmp_path: Path) -> None:
    catalogue = make_dataset(tmp_path, 16, seconds=0.3)
    options = ("--batch-size", "5", "--min-view", "0")
    with (
        annotating(tmp_path, "--annotator", "ada", *options) as first,
        annotating(tmp_path, "--annotator", "bob", *options) as second,
    ):
        twice = _run("--dataset", str(tmp_path), "--annotator", "ada")
        assert twice.exit_code == 2 and "ada is reviewing this dataset already" in twice.output
        taken = _run("--dataset", str(tmp_path), "--annotator", "eve", "--take-over", "ada")
        assert taken.exit_code == 2 and "ada is reviewing" in taken.output
        curators = {"ada": SocketCurator(first.address), "bob": SocketCurator(second.address)}
        tokens = dict.fromkeys(curators, "")
        open_ones = dict(curators)
        while open_ones:
            for name, curator in list(open_ones.items()):
                curator.until(lambda c=curator, n=name: c.ended or _fresh(c, tokens[n]))
                if curator.ended:
                    del open_ones[name]
                    continue
                tokens[name] = curator.until_batch(tokens[name])
                curator.mark({0})
                curator.enter()
        assert "batches" in first.rest() and "batches" in second.rest()
    with catalogue.reading() as session:
        decisions = list(session.scalars(select(Decision)))
    assert len(decisions) == len({decision.clip_id for decision in decisions}) == 16
    assert {decision.annotator for decision in decisions} == {"ada", "bob"}
    catalogue.close()


def _fresh(curator: SocketCurator, token: str) -> bool:
    grid, status = curator.panes.get("grid"), curator.panes.get("status")
    return bool(grid and status and grid.token not in ("", token) and grid.token == status.token)


def test_the_final_pass_and_the_json_answer(tmp_path: Path) -> None:
    catalogue = make_dataset(tmp_path, 4, seconds=0.3, state=ClipState.ACCEPTED)
    command = [
        sys.executable,
        "-c",
        "from curation.commands import main; main()",
        "annotate",
        "--dataset",
        str(tmp_path),
    ]
    process = subprocess.Popen(
        [*command, "--state", "accepted", "--json", "--annotator", "ada", "--min-view", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    curator = SocketCurator(process.stderr.readline().split()[1])
    curator.until_batch()
    assert "final pass" in curator.panes["status"].html
    curator.mark({1})
    curator.enter()
    curator.until(lambda: curator.ended)
    answer = json.loads(process.communicate(timeout=20)[0])
    assert process.returncode == 0
    assert (answer["kept"], answer["rejected"], answer["left"], answer["batches"]) == (3, 1, 0, 1)
    with catalogue.reading() as session:
        assert {decision.review for decision in session.scalars(select(Decision))} == {"final"}
        assert sorted(session.scalars(select(Clip.state))) == ["accepted"] * 3 + ["rejected"]
    catalogue.close()


def test_ctrl_c_ends_it_like_escape(tmp_path: Path) -> None:
    make_dataset(tmp_path, 4, seconds=0.3).close()
    with annotating(tmp_path, "--annotator", "ada") as running:
        curator = SocketCurator(running.address)
        curator.until_batch()
        running.process.terminate()
        curator.until(lambda: curator.ended)
        assert "0 kept, 0 rejected, 4 left" in running.rest()
        assert running.process.returncode == 0


STANDALONE = """
import sys, time
from pathlib import Path
from annotation_server.server import Server
print(Server(Path(sys.argv[1]), port=int(sys.argv[2])).start().port, flush=True)
time.sleep(600)
"""


@contextmanager
def _visdom(media: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", STANDALONE, str(media), str(port)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def test_a_running_visdom_server_can_be_used_and_may_come_and_go(tmp_path: Path) -> None:
    catalogue = make_dataset(tmp_path, 8, seconds=0.3)
    with _visdom(tmp_path) as (visdom, port):
        options = ("--server", f"http://127.0.0.1:{port}", "--batch-size", "5", "--min-view", "0")
        with annotating(tmp_path, "--annotator", "Ada Lovelace", *options) as running:
            env = running.address.split("/env/")[1]
            assert re.fullmatch(r"curate-ada-lovelace-[0-9a-f]{8}", env)
            curator = SocketCurator(running.address, env)
            token = curator.until_batch()
            assert 'src="data:video/mp4;base64,' in curator.panes["grid"].html
            curator.mark({2})
            visdom.kill()
            visdom.wait()
            with _visdom(tmp_path, port):
                # It has forgotten everything; the review puts its panes there again.
                curator = SocketCurator(running.address, env)
                assert curator.until_batch() == token
                assert curator.marked == {2}
                curator.enter()  # events get through again as soon as the panes are back
                curator.until_batch(token)
                curator.key(f"stop:{curator.panes['grid'].token}")
                curator.until(lambda: curator.ended)
                assert "4 kept, 1 rejected, 3 left" in running.rest()
    catalogue.close()


def test_clips_without_a_preview_are_left_with_a_word(tmp_path: Path) -> None:
    catalogue = make_dataset(tmp_path, 3, seconds=0.3)
    with catalogue.writing() as session:
        session.execute(update(Clip).where(Clip.id == "clip-00000").values(state="scored"))
    with annotating(tmp_path, "--annotator", "ada", "--min-view", "0") as running:
        curator = SocketCurator(running.address)
        curator.until_batch()
        assert curator.clips == 2
        curator.enter()
        curator.until(lambda: curator.ended)
        assert "2 kept" in running.rest()
    catalogue.close()
