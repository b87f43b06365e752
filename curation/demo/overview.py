"""One picture of the whole way: videos, clips kept and rejected with their scores, training curves, samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FuncFormatter

from curation.demo.fields import U8
from curation.demo.stills import SampleRow, read_frames, read_sample, spread, still
from db.files import replacing

PAPER, INK, FAINT = "#f6f4ee", "#23303a", "#8a939a"
KEPT, FILTERED, REJECTED, WAITING = "#3f8f5b", "#9aa0a6", "#c0392b", "#4a7fb5"
GROUPS = {"accepted": KEPT, "filtered": FILTERED, "rejected": REJECTED, "taken-down": REJECTED}
ACROSS = 12  # pictures side by side
VIDEO_PITCH, CLIP_PITCH = 1.16, 1.10  # inches from one line of pictures to the next
SIDE = 1.15  # inches of a sample's frame
Status = Mapping[str, Sequence[Mapping[str, Any]]]
Curves = Sequence[tuple[str, str]]
CURVES: Curves = (("$D_S$ (frames)", "wasserstein_s"), ("$D_T$ (motion)", "wasserstein_t"))


def overview(
    status: Status,
    *,
    dataset: Path,
    path: Path,
    run: Path | None = None,
    animated: Path | None = None,
    curves: Curves = CURVES,
    min_variance: float = 0.001,
    title: str = "Stillflow: from videos to a moving image",
) -> None:
    """Draws `path`, a PNG 1600 pixels wide, written whole or not at all.

    `status`: what `curate status --json` prints (formats.md) of `dataset`; `curves`: (label, key in `metrics.jsonl`) of
    the run folder `run`, whose last sample video is shown too; `animated`: a folder of animated stills (MP4).
    Raises ValueError on a run without such metrics or with a sample that is none, OSError where a run has no metrics.
    """
    videos, clips = list(status["videos"]), list(status["clips"])
    media = {video["id"]: file for video in videos if (file := media_file(dataset, video["id"]))}
    metrics = read_metrics(run / "metrics.jsonl", [key for _, key in curves]) if run else None
    samples = sorted((run / "samples").glob("step-*.mp4")) if run else []
    rows = read_sample(samples[-1])[:2] if samples else []
    files = sorted(animated.glob("*.mp4")) if animated else []
    # The first and the last: of different videos, if there are any such.
    moved = [read_frames(file) for file in dict.fromkeys((files[0], files[-1]))] if files else []
    lines = [-(-max(len(things), 1) // ACROSS) for things in (videos, clips)]
    heights = [
        0.62, VIDEO_PITCH * lines[0] + 0.5, CLIP_PITCH * lines[1] + 0.5, 3.5,
        2.55 * len(rows) + 0.6 if rows else 0.01, 1.27 * len(moved) + 0.6 if moved else 0.01,
    ]  # fmt: skip
    figure = Figure(figsize=(16, sum(heights)), dpi=100, facecolor=PAPER)
    FigureCanvasAgg(figure)
    parts: list[SubFigure] = list(np.ravel(np.asarray(figure.subfigures(6, 1, height_ratios=heights, hspace=0.0))))
    for part in parts:
        part.set_facecolor(PAPER)
    head, sources, sheet, numbers, moving, stills = parts
    head.text(0.02, 0.42, title, fontsize=21, color=INK, weight="bold", va="center")
    _draw_videos(sources, videos, media)
    _draw_clips(sheet, clips, media)
    left, right = numbers.subplots(
        1, 2, gridspec_kw={"left": 0.05, "right": 0.98, "bottom": 0.2, "top": 0.84, "wspace": 0.14}
    )
    _draw_histogram(left, clips, min_variance)
    _draw_curves(right, metrics, curves)
    if rows:
        _draw_samples(moving, rows)
    if moved:
        _draw_animated(stills, moved)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        figure.savefig(partial, format="png", facecolor=PAPER)


def media_file(dataset: Path, video: Any) -> Path | None:
    """The downloaded file of a video; unfinished downloads do not count."""
    found = [file for file in sorted((dataset / "videos").glob(f"{video}.*")) if file.suffix not in (".part", ".json")]
    return found[0] if found else None


def read_metrics(path: Path, keys: Sequence[str]) -> dict[str, tuple[list[int], list[float]]]:
    """(steps, values) of each key of a metrics file; raises ValueError where a key never appears."""
    series: dict[str, tuple[list[int], list[float]]] = {key: ([], []) for key in keys}
    known: set[str] = set()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: not a JSON record ({error})") from error
        known |= set(record)
        for key in keys:
            if key in record:
                series[key][0].append(int(record["step"]))
                series[key][1].append(float(record[key]))
    for key in keys:
        if not series[key][0]:
            raise ValueError(f"{path} has no {key!r}; it has {', '.join(sorted(known)) or 'no records'}")
    return series


def _heading(part: SubFigure, text: str, note: str, *, inches: float = 0.2) -> None:
    y = 1 - inches / _height(part)
    part.text(0.02, y, text, fontsize=13.5, color=INK, weight="bold", va="center")
    part.text(0.98, y, note, fontsize=10.5, color=FAINT, va="center", ha="right")


def _height(part: SubFigure) -> float:
    """Inches."""
    return float(part.bbox.height / part.get_figure(root=True).dpi)


def _tile(part: SubFigure, number: int, picture: U8 | None, colour: str, lines: Sequence[str], pitch: float) -> None:
    """A framed picture with up to two lines under it; `pitch`: inches from one line of pictures to the next."""
    tall, wide = _height(part), 0.96 / ACROSS
    row, column = divmod(number, ACROSS)
    top = 0.42 + row * pitch
    axes = part.add_axes((0.02 + column * wide + 0.05 * wide, 1 - (top + 0.665) / tall, 0.9 * wide, 0.665 / tall))
    axes.set(xticks=[], yticks=[])
    if picture is None:
        axes.set_facecolor("#dcd8cf")
        axes.text(
            0.5, 0.5, "does not\ndecode", transform=axes.transAxes, ha="center", va="center", color=FAINT, fontsize=8.5
        )
    else:
        axes.imshow(picture, aspect="auto", interpolation="lanczos")
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=3.0)
    for i, line in enumerate(lines):
        axes.text(
            0.5, -0.06 - 0.21 * i, line, transform=axes.transAxes, ha="center", va="top", fontsize=7.6 if i else 8.6,
            color=INK if i == 0 else colour, clip_on=False,
        )  # fmt: skip


def _short(text: str, most: int = 20) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _draw_videos(part: SubFigure, videos: Sequence[Mapping[str, Any]], media: Mapping[Any, Path]) -> None:
    failed = sum(bool(video.get("error")) for video in videos)
    _heading(part, "Videos", f"{len(videos) - failed} downloaded" + (f", {failed} unusable" if failed else ""))
    for number, video in enumerate(videos):
        file = media.get(video["id"])
        error = video.get("error")
        picture = still(file, 12.0) if file and not error else None
        picture = still(file, 0.0) if file and picture is None and not error else picture
        name = Path(str(video.get("source") or video.get("provider_id"))).stem
        _tile(
            part,
            number,
            picture,
            REJECTED if error else INK,
            [_short(name, 15), _short(str(error), 24) if error else ""],
            1.22,
        )


def _draw_clips(part: SubFigure, clips: Sequence[Mapping[str, Any]], media: Mapping[Any, Path]) -> None:
    states = [str(clip["state"]) for clip in clips]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    _heading(part, "Clips of ten seconds, with their variance (Eq. 3.19)", counts)
    for number, clip in enumerate(clips):
        file = media.get(clip["video"])
        picture = still(file, (float(clip["start"]) + float(clip["end"])) / 2) if file else None
        colour = GROUPS.get(str(clip["state"]), WAITING)
        if picture is not None and colour in (FILTERED, REJECTED):
            grey = picture.mean(axis=2, keepdims=True)
            picture = np.asarray(0.25 * picture + 0.75 * (0.7 * grey + 60), np.uint8)
        variance = (clip.get("scores") or {}).get("variance")
        under = f"{variance:.5f}" if variance is not None else "not scored"
        note = (clip.get("reason") or "").split(" (")[0] or (
            clip.get("split") or "" if clip["state"] == "accepted" else clip["state"]
        )
        _tile(part, number, picture, colour, [under, _short(str(note), 24)], CLIP_PITCH)


def _plain(axes: Axes, title: str) -> None:
    axes.set_facecolor("#fffdf8")
    axes.set_title(title, loc="left", fontsize=13.5, color=INK, weight="bold", pad=10)
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(alpha=0.25, linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_histogram(axes: Axes, clips: Sequence[Mapping[str, Any]], min_variance: float) -> None:
    _plain(axes, "Variance of the clips")
    groups: dict[str, list[float]] = {}
    for clip in clips:
        variance = (clip.get("scores") or {}).get("variance")
        if variance is not None:
            groups.setdefault(str(clip["state"]), []).append(max(float(variance), 1e-6))
    scored = [v for values in groups.values() for v in values]
    if not scored:
        axes.text(0.5, 0.5, "no clip is scored", transform=axes.transAxes, ha="center", color=FAINT)
        return
    low, high = np.log10(min(*scored, min_variance)) - 0.15, np.log10(max(*scored, min_variance)) + 0.15
    axes.hist(
        list(groups.values()), bins=list(np.logspace(low, high, 34)), stacked=True, rwidth=0.9,
        color=[GROUPS.get(state, WAITING) for state in groups], label=list(groups),
    )  # fmt: skip
    axes.axvline(min_variance, color=INK, linestyle=(0, (4, 3)), linewidth=1.4)
    axes.text(min_variance, axes.get_ylim()[1], f" threshold {min_variance:g}", color=INK, fontsize=9, va="top")
    axes.set(xscale="log", xlabel="per-pixel temporal variance, RGB in [0, 1]", ylabel="clips")
    axes.xaxis.label.set_color(INK)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper left")


def _draw_curves(axes: Axes, metrics: dict[str, tuple[list[int], list[float]]] | None, curves: Curves) -> None:
    _plain(axes, "Training: Wasserstein estimates of the discriminators")
    if metrics is None:
        axes.text(0.5, 0.5, "no run", transform=axes.transAxes, ha="center", color=FAINT)
        return
    for (label, key), colour in zip(curves, ("#2f6f9f", "#d0832b", KEPT, "#7d5ba6"), strict=False):
        steps, values = metrics[key]
        window = max(1, len(values) // 40)
        smooth = np.convolve(
            np.pad(values, (window // 2, window - 1 - window // 2), "edge"), np.ones(window) / window, "valid"
        )
        axes.plot(steps, values, color=colour, alpha=0.22, linewidth=0.9)
        axes.plot(steps, smooth, color=colour, linewidth=1.9, label=label)
    axes.set(xlabel="generator updates", ylabel="real - generated score")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.legend(frameon=False, fontsize=10, labelcolor=INK)


def _draw_samples(part: SubFigure, rows: Sequence[SampleRow]) -> None:
    _heading(
        part, "Held-out clips: the input, what the model makes of it, and what came", "above generated, below real"
    )
    for number, row in enumerate(rows):
        top = 0.5 + number * 2.55
        _frame(part, 0, top + 0.5 * (SIDE + 0.06), row.given, INK, "input")
        for column, index in enumerate(spread(len(row.generated), ACROSS)[1:].tolist(), 1):
            _frame(part, column, top, row.generated[index], KEPT, f"frame {index + 1}")
            _frame(part, column, top + SIDE + 0.06, row.real[index], FAINT, "")


def _draw_animated(part: SubFigure, clips: Sequence[U8]) -> None:
    _heading(part, "Still images set in motion", "frames of modeling animate")
    for number, frames in enumerate(clips):
        for column, index in enumerate(spread(len(frames), ACROSS).tolist()):
            _frame(
                part,
                column,
                0.5 + 1.27 * number,
                frames[index],
                INK if index == 0 else KEPT,
                "" if number else f"frame {index + 1}",
            )


def _frame(part: SubFigure, column: int, top: float, picture: U8, colour: str, label: str) -> None:
    """A square picture in a column, `top` inches from the part's upper edge."""
    tall, pitch = _height(part), 15.36 / ACROSS
    axes = part.add_axes(((0.32 + column * pitch) / 16, 1 - (top + SIDE) / tall, SIDE / 16, SIDE / tall))
    axes.imshow(picture, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=2.2)
    if label:
        axes.set_title(label, fontsize=8.5, color=INK, pad=3)
