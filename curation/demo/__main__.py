"""`make demo`: the whole way on rendered footage, by the same commands that a user types.

Each part does only what is left, so a second run is short. Everything lies in one folder, `demo/` by default.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from curation.decode import resized
from curation.demo.overview import overview
from curation.demo.render import DemoVideo, render_all
from curation.demo.review import ANNOTATOR, review
from curation.demo.server import FootageServer
from curation.errors import StageError
from curation.probe import probe
from db.engine import CATALOGUE, create, open_catalogue
from db.shards import read_manifest

STEPS = 300  # of training; two minutes on two cores
# After so few steps the thesis's recipe makes one picture of every image; this one keeps what the image shows.
QUICK = (
    "training.loss=rpgan-r1r2", "training.penalty_every=4", "training.lr=1e-3", "training.d_passes=1",
    "generator.keep_bias=3",
)  # fmt: skip
SIZE = 32  # what the `tiny` preset takes
STILLS = 4
PORT, PORT_FILE = 45080, "port"  # the server's address is part of the videos' identity


class DemoError(Exception):
    """A part of the demo ended otherwise than it should."""


class Demo:
    """The demo's folder and its steps, in order."""

    def __init__(self, folder: Path, steps: int) -> None:
        self.folder = folder
        self.steps = steps
        self.footage = folder / "footage"
        self.dataset = folder / "dataset"
        self.run = folder / "runs" / "tiny"
        self.stills = folder / "stills"
        self.animated = folder / "animated"
        self.began = time.monotonic()

    def all(self) -> None:
        """Everything that is left."""
        videos = self.render()
        self.fetch(videos)
        self.curate(videos)
        self.train()
        self.animate()
        self.draw()
        self.tell()

    def render(self) -> list[DemoVideo]:
        """Twelve videos with planted faults."""
        self.say("Rendering the footage: 12 videos of moving landscapes, some with the faults a curator meets.")

        def rendered(video: DemoVideo, done: int, total: int) -> None:
            faults = ", ".join(sorted({fault.name for fault in video.faults})) or "clean"
            print(f"  {done:2}/{total} {video.path.name} ({video.seconds:.0f} s, {faults})", flush=True)

        return render_all(self.footage, progress=rendered, workers=min(os.cpu_count() or 1, 4))

    def fetch(self, videos: Sequence[DemoVideo]) -> None:
        """Through yt-dlp from a local web server, like any video of the web."""
        self.say("Downloading them from a web server on this machine.")
        if not (self.dataset / CATALOGUE).exists():
            create(self.dataset).close()
        states = {video["source"]: video["state"] for video in self.status()["videos"]}
        if len(states) == len(videos) and "queued" not in states.values():
            print("  all were fetched before")
            return
        with self.server() as server:
            self.call("curate", "add", *[server.url(video.path.name) for video in videos])
            # One of them is broken on purpose, so some items fail.
            self.call("curate", "download", expected=(0, 1))

    def curate(self, videos: Sequence[DemoVideo]) -> None:
        """From files to shards."""
        self.say("Cutting, scoring, filtering.")
        self.call("curate", "cut", "--margin", "5", "--spacing", "2")
        self.call("curate", "score")
        self.call("curate", "filter")
        self.call("curate", "preview")

        self.say(f"Reviewing. In this demo by itself: annotator '{ANNOTATOR}' knows which faults were planted where.")
        with open_catalogue(self.dataset) as catalogue:
            counts = review(catalogue, {video.path.name: video.faults for video in videos})
        print(f"  accepted {counts['accepted']}, rejected {counts['rejected']} clips; nobody looked at them")

        self.say("Exporting to shards.")
        self.call("curate", "split", "--shares", "70/15/15")
        self.call("curate", "export", "--size", str(SIZE))
        self.call("curate", "verify")

    def train(self) -> None:
        """A model small enough for a laptop's processor, by a recipe that is quick."""
        self.say(f"Training the 'tiny' preset for {self.steps} steps: far too few for beauty, enough to see it learn.")
        if self.steps_done() >= self.steps:
            print(f"  it has {self.steps_done()} steps already")
        else:
            # New data is fine: who looked through the clips in between may have thrown some out.
            self.call(
                "modeling", "train", "--data", str(self.dataset / "shards"), "--preset", "tiny", "--run", str(self.run),
                "--steps", str(self.steps), "--checkpoint-every", "50", "--accept-new-data",
                *(f"--set={option}" for option in QUICK),
            )  # fmt: skip
        if not (self.run / "evaluation").exists():
            self.call(
                "modeling", "evaluate", "--run", str(self.run), "--data", str(self.dataset / "shards"), "--motion"
            )

    def steps_done(self) -> int:
        """How far the run has come; a user may have trained it longer."""
        model = self.run / "model.json"
        return int(json.loads(model.read_text())["step"]) if model.exists() else 0

    def animate(self) -> None:
        """Stills from videos that the model never saw, set in motion."""
        self.say("Animating still images of the test videos.")
        stills = self.make_stills()
        if all((self.animated / f"{still.stem}.mp4").exists() for still in stills) and self.newer(stills):
            print("  all were animated before")
            return
        images = [str(still) for still in stills]
        self.call("modeling", "animate", "--run", str(self.run), *images, "--frames", "50", "--out", str(self.animated))

    def newer(self, stills: Sequence[Path]) -> bool:
        """Whether the animations are younger than the model."""
        model = (self.run / "model.safetensors").stat().st_mtime
        return all((self.animated / f"{still.stem}.mp4").stat().st_mtime > model for still in stills)

    def make_stills(self) -> list[Path]:
        """The first frames of some test clips, of different videos first."""
        clips = [clip for clip in self.status()["clips"] if clip["shard"]]
        clips.sort(key=lambda clip: (clip["split"] != "test", clip["split"] != "val", clip["start"], clip["video"]))
        self.stills.mkdir(exist_ok=True)
        made = []
        for clip in clips[:STILLS]:
            path = self.stills / f"{clip['id']}.png"
            if not path.exists():
                image = self.first_frame(clip)
                cv2.imwrite(str(path), image[:, :, ::-1])
            made.append(path)
        return made

    def first_frame(self, clip: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """A clip's first frame, (360, 360, 3) RGB."""
        source = next(self.dataset.glob(f"videos/{clip['video']}.*"))
        info = probe(source)
        start = int(info.pts[np.searchsorted(info.pts, info.pts[0] + round(clip["start"] / info.time_base))])
        for _, pixels in resized(source, start, start + 1, height=360, width=360):
            return pixels.copy()
        raise DemoError(f"{source} has no frame at {clip['start']} s")

    def draw(self) -> None:
        """The picture of the whole way."""
        self.say("Drawing the overview.")
        overview(
            self.status(), dataset=self.dataset, run=self.run, animated=self.animated, path=self.folder / "overview.png"
        )

    def tell(self) -> None:
        """What there is now, and how to go on."""
        states = [clip["state"] for clip in self.status()["clips"]]
        counted = ", ".join(f"{states.count(name)} {name}" for name in ("accepted", "rejected", "filtered"))
        minutes, seconds = divmod(round(time.monotonic() - self.began), 60)
        made = {
            "dataset/catalogue.sqlite": f"{len(states)} clips: {counted}",
            "dataset/shards/": f"{len(read_manifest(self.dataset / 'shards').shards)} shards and their manifest",
            "runs/tiny/": "the model (model.safetensors), its samples, metrics and evaluation",
            "animated/": f"{len(list(self.animated.glob('*.mp4')))} still images set in motion",
            "overview.png": "all of it in one picture",
        }
        scripts = Path(sys.executable).parent
        if scripts.is_relative_to(Path.cwd()):
            scripts = scripts.relative_to(Path.cwd())
        train = f"train --data {self.dataset}/shards --preset tiny --run {self.run} --steps {10 * self.steps}"
        train += "".join(f" --set {option}" for option in QUICK)
        go_on = {
            "look through the kept clips in the grid": f"curate annotate --dataset {self.dataset} --state accepted",
            "train longer": f"modeling {train}",
            "animate your own image": f"modeling animate --run {self.run} --out {self.animated} YOUR_IMAGE",
        }
        print(f"\nDone in {minutes} min {seconds} s. In {self.folder}/ there are now:")
        for name, content in made.items():
            print(f"  {name:26} {content}")
        print("\nGo on with:")
        for purpose, command in go_on.items():
            print(f"  # {purpose}\n  {scripts}/{command}")

    @contextlib.contextmanager
    def server(self) -> Iterator[FootageServer]:
        """The footage on the port of the first run, so that its addresses stay the same."""
        port_file = self.folder / PORT_FILE
        known = int(port_file.read_text()) if port_file.exists() else None
        with contextlib.ExitStack() as stack:
            try:
                server = stack.enter_context(FootageServer(self.footage, port=known or PORT))
            except OSError as error:
                if known is not None:
                    raise DemoError(
                        f"port {known}, which this demo's addresses name, cannot be opened ({error.strerror}): "
                        f"end what uses it, or begin anew with: make clean-demo"
                    ) from None
                server = stack.enter_context(FootageServer(self.footage))  # taken: any other will do
            port_file.write_text(server.base_url.rsplit(":", 1)[1])
            yield server

    def status(self) -> dict[str, list[dict[str, Any]]]:
        """`curate status --json`."""
        listed: dict[str, list[dict[str, Any]]] = json.loads(self.output("curate", "status", "--json"))
        return listed

    def output(self, *command: str) -> str:
        """What a command prints."""
        return subprocess.run(self.resolve(command), check=True, capture_output=True, text=True).stdout

    def call(self, *command: str, expected: tuple[int, ...] = (0,)) -> None:
        """Run a command as a user would, and say which."""
        shown = command if len(command) < 14 else (*command[:4], "...")
        print(f"$ {shlex.join(shown)}", flush=True)
        status = subprocess.run(self.resolve(command), check=False).returncode
        if status not in expected:
            raise DemoError(f"'{shlex.join(shown)}' ended with status {status}")

    def resolve(self, command: Sequence[str]) -> list[str]:
        """The installed script of this environment, on the demo's dataset."""
        script, *arguments = command
        if script == "curate":
            arguments += ["--dataset", str(self.dataset)]
        return [str(Path(sys.executable).parent / script), *arguments]

    def say(self, text: str) -> None:
        """A headline with the time so far."""
        print(f"\n[{time.monotonic() - self.began:4.0f} s] {text}", flush=True)


def main() -> int:
    """Run the demo; its exit status."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps (default %(default)s)")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    try:
        Demo(given.folder, given.steps).all()
    except (DemoError, StageError, ValueError, OSError) as error:
        print(f"\nThe demo stopped: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
