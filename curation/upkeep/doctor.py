"""What this machine has of all that Stillflow needs or can use, what a lack costs, and how to mend it.

Each check looks at the thing itself: codecs encode and decode, programs tell their versions, folders are written to.
`curation.upkeep.doctor_dataset` does the same for a dataset folder.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Literal

import av
import numpy as np
from packaging.requirements import Requirement

PYTHON = (3, 11)
YTDLP_DAYS = 60  # sites change faster than that
RUNTIMES = {"deno": ("Deno", (2, 3)), "node": ("Node", (22, 0))}  # what yt-dlp takes for YouTube's player code
PROGRAM_SECONDS = 10.0
State = Literal["ok", "warning", "missing"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at. `missing`: something that is needed; `warning`: something that is good to have."""

    name: str
    state: State
    found: str
    cost: str | None = None  # of its lack
    remedy: str | None = None

    def __post_init__(self) -> None:
        if self.state != "ok" and (self.cost is None or self.remedy is None):
            raise ValueError(f"{self.name}: a lack has a cost and a remedy")


def machine(*, today: date) -> Iterator[Check]:
    """All checks of the machine and of this installation."""
    yield python()
    yield from packages(requirements())
    yield from codecs()
    yield from ytdlp(_installed("yt-dlp"), today)
    yield from javascript()
    yield program(
        "ffmpeg", ["-version"], r"ffmpeg version (\S+)",
        cost="little: decoding and encoding are PyAV's. yt-dlp fetches a few streams with it (rtmp, HLS of unusual"
        " encryption), and mends odd containers",
        remedy="install the package ffmpeg of your system",
    )  # fmt: skip
    yield program(
        "npm", ["--version"], r"(\S+)",
        cost="the annotation page's scripts are fetched from a CDN instead, once",
        remedy="install Node.js, which has it",
    )  # fmt: skip
    yield chromium()


def python() -> Check:
    """The interpreter."""
    found = sys.version.split()[0]
    if sys.version_info[:2] >= PYTHON:
        return Check(name="Python", state="ok", found=found)
    needed = ".".join(map(str, PYTHON))
    return Check(
        name="Python", state="missing", found=found, cost="nothing can be relied on", remedy=f"use Python {needed} on"
    )


def requirements() -> list[Requirement]:
    """What this version of Stillflow needs: of its source tree, where it runs from one, or else of its installation."""
    project = Path(__file__).parents[1] / "pyproject.toml"
    if project.is_file():
        listed = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    else:
        listed = metadata.requires("stillflow") or []
    return [each for each in map(Requirement, listed) if each.marker is None or each.marker.evaluate({"extra": ""})]


def packages(needed: Iterable[Requirement]) -> Iterator[Check]:
    """One check for all that are as needed, one each for those that are not."""
    fine = []
    for each in needed:
        installed = _installed(each.name)
        if installed is not None and each.specifier.contains(installed, prereleases=True):
            fine.append(each.name)
            continue
        yield Check(
            name=each.name,
            state="missing",
            found="not installed" if installed is None else f"{installed}, where {each.specifier} is needed",
            cost="the commands that use it fail",
            remedy=f"make setup, or: pip install '{each}'",
        )
    if fine:
        yield Check(name="packages", state="ok", found=f"{len(fine)} as needed")


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def codecs() -> Iterator[Check]:
    """What PyAV's FFmpeg encodes and decodes."""
    name = f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}"
    try:
        frames = round_trip()
    except (av.error.FFmpegError, ValueError, OSError) as error:
        frames, reason = 0, f"H.264 fails: {error}"
    else:
        reason = f"H.264: {frames} of {TRIED} frames come back"
    if frames == TRIED:
        yield Check(name=name, state="ok", found="H.264 encodes and decodes")
    else:
        yield Check(
            name=name, state="missing", found=reason, cost="no previews, and most web videos cannot be read",
            remedy="pip install --force-reinstall av (its wheels bring FFmpeg with H.264)",
        )  # fmt: skip
    for codec, decoders in (("AV1", ("libdav1d", "av1")), ("VP9", ("vp9", "libvpx-vp9")), ("HEVC", ("hevc",))):
        if any(_decodes(decoder) for decoder in decoders):
            yield Check(name=codec, state="ok", found="decodes")
        else:
            yield Check(
                name=codec, state="warning", found="no decoder",
                cost="videos in it end as unsupported; H.264 is asked for first, where a site has both",
                remedy="pip install --force-reinstall av",
            )  # fmt: skip


TRIED = 5  # frames


def round_trip() -> int:
    """Encode some frames as H.264 in memory and decode them; how many come back."""
    memory = io.BytesIO()
    with av.open(memory, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(TRIED):
            picture = np.full((48, 64, 3), index * 40, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    memory.seek(0)
    with av.open(memory, "r") as readable:
        return len(list(readable.decode(video=0)))


def _decodes(codec: str) -> bool:
    try:
        av.codec.Codec(codec, "r")
    except (av.codec.codec.UnknownCodecError, ValueError):
        return False
    return True


def ytdlp(version: str | None, today: date) -> Iterator[Check]:
    """yt-dlp, whose versions are dates: it ages, and a date to come tells of a wrong clock."""
    if version is None:
        yield Check(
            name="yt-dlp", state="missing", found="not installed", cost="nothing can be fetched from the web",
            remedy="pip install 'yt-dlp[default]'",
        )  # fmt: skip
        return
    parts = re.match(r"(\d{4})\.(\d{1,2})\.(\d{1,2})", version)
    days = None if parts is None else (today - date(int(parts[1]), int(parts[2]), int(parts[3]))).days
    if days is not None and days <= YTDLP_DAYS:
        yield Check(name="yt-dlp", state="ok", found=f"{version}, {max(days, 0)} days old")
    else:
        yield Check(
            name="yt-dlp",
            state="warning",
            found=f"{version}, {'of no date' if days is None else f'{days} days old'}",
            cost="sites change, and downloads from them begin to fail",
            remedy="pip install --upgrade 'yt-dlp[default]'",
        )
    if days is not None and days < -1:
        yield Check(
            name="clock",
            state="warning",
            found=f"it is {today}, and yt-dlp is of a later day",
            cost="leases, pauses and the days of quotas run out at wrong times",
            remedy="set this machine's clock",
        )


def javascript() -> Iterator[Check]:
    """A runtime for YouTube's player code, and yt-dlp's scripts for it."""
    found = []
    good = False
    for command, (name, needed) in RUNTIMES.items():
        version = _version([command, "--version"], r"v?(\d+(?:\.\d+)*)")
        if version is None:
            continue
        enough = tuple(int(part) for part in version.split("."))[:2] >= needed
        good = good or enough
        found.append(f"{name} {version}" + ("" if enough else f" (older than {'.'.join(map(str, needed))})"))
    scripts = _installed("yt-dlp-ejs")
    found.append(f"yt-dlp-ejs {scripts}" if scripts else "no yt-dlp-ejs")
    if good and scripts:
        yield Check(name="JavaScript for YouTube", state="ok", found=", ".join(found))
        return
    yield Check(
        name="JavaScript for YouTube",
        state="warning",
        found=", ".join(found) if found else "none",
        cost="YouTube offers few formats or none; other sites do without",
        remedy="pip install 'yt-dlp[default,deno]', or install Node 22 or newer beside yt-dlp[default]",
    )


def program(name: str, arguments: list[str], pattern: str, *, cost: str, remedy: str) -> Check:
    """An optional program."""
    version = _version([name, *arguments], pattern)
    if version is None:
        return Check(name=name, state="warning", found="not found", cost=cost, remedy=remedy)
    return Check(name=name, state="ok", found=version)


def chromium() -> Check:
    """The browser that the tests drive."""
    path = os.environ.get("STILLFLOW_CHROMIUM") or shutil.which("chromium")
    version = None if path is None else _version([path, "--version"], r"(\d+(?:\.\d+)+)")
    if version is not None:
        return Check(name="Chromium", state="ok", found=f"{version} at {path}")
    return Check(
        name="Chromium",
        state="warning",
        found="not found" if path is None else f"{path} does not run",
        cost="the tests of the grid and of the report are skipped; any newer browser of yours shows both",
        remedy="install the package chromium of your system, or name one in STILLFLOW_CHROMIUM",
    )


def _version(command: list[str], pattern: str) -> str | None:
    """What a program says of its version; None if it is not there or does not run."""
    path = shutil.which(command[0])
    if path is None:
        return None
    try:
        said = subprocess.run(
            [path, *command[1:]], capture_output=True, text=True, errors="replace", timeout=PROGRAM_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(pattern, said.stdout) if said.returncode == 0 else None
    return None if match is None else match[1]


def browser_assets(missing: int, folder: str) -> Check:
    """The scripts and styles of the annotation page, given how many are missing of their folder."""
    if missing == 0:
        return Check(name="browser assets", state="ok", found=f"all in {folder}")
    return Check(
        name="browser assets",
        state="warning",
        found=f"{missing} missing in {folder}",
        cost="curate annotate fetches them when it starts, and cannot start without a network",
        remedy="python -m annotation_server.assets, or copy the folder from a machine that has it",
    )
