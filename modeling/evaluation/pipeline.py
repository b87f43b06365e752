"""`evaluate`: the report on a model's clips, or on a folder of videos, beside the baselines, as plain values.

Letters: N clips, K futures, T frames, R side of the frames, D features.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modeling.data.windows import ClipSet, DataError, open_clips
from modeling.errors import UsageError
from modeling.evaluation import samples as sample_videos
from modeling.evaluation import sources
from modeling.evaluation.filling import filled, filled_together
from modeling.evaluation.measures import Measure, MotionMaps, Span
from modeling.evaluation.names import Chosen, choose
from modeling.evaluation.numbers import Numbers
from modeling.evaluation.plan import Plan
from modeling.evaluation.protocol import NORMALISATION, SSIM, Name, Reference, with_hash
from modeling.evaluation.scores import motion_summary
from modeling.evaluation.sources import HeldOut, Source
from modeling.evaluation.store import writable_home
from modeling.inference import Trained
from modeling.networks import build_generator

Array = NDArray[Any]
FORMAT = 2
CPU = torch.device("cpu")
FEW_VIDEOS = 10  #     below which the bootstrap's draws are too much alike
LONGEST_CURVE = 150  # frames, as Fig. 4.3


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """What `modeling evaluate` was asked for."""

    clips: ClipSet  #                      of the split, `frames` long or longer, with masks where the model takes them
    frames: int  #                         T, the input counted
    trained: Trained | None = None
    samples: Path | None = None  #         a folder of videos named as the clips' ids
    given: int = 1  #                      first frames of those videos that are not scored; a model has its own
    metrics: tuple[str, ...] | None = None  # None: all whose weights are there
    weights: Path | None = None
    futures: int = 1  #                    K, of each image
    curve_frames: int | None = None  #     generated for the curves over frames; None: T
    seed: int = 0  #                       of noise, blends and the bootstrap
    motion: bool = False  #                also correlate where things move
    limit: int | None = None  #            the first so many clips
    reference: Reference = "pooled"
    protocol: Name = "standard"
    draws: int = 200  #                    of the bootstrap; 0: no intervals
    device: torch.device = CPU
    keep: Path | None = None  #            where features are kept; None: nowhere, those of real clips beside the shards


def evaluate(
    request: EvaluationRequest,
    *,
    say: Callable[[str], None] = lambda line: None,
    done: Callable[[int, int], None] = lambda clips, total: None,
) -> dict[str, Any]:
    """The report, in the shape of formats.md, version 2. `done` is told (clips through, clips in all) over all passes.

    DataError where the split holds no clip; UsageError for a model, a length or a metric that cannot be scored;
    WeightsError for missing weights; FeatureError for features that are not finite.
    """
    request, given = _checked(request, say)
    count = len(request.clips.clips) if request.limit is None else min(request.limit, len(request.clips.clips))
    trained = request.trained
    held = HeldOut(
        clips=request.clips,
        count=count,
        frames=request.frames,
        given=given,
        options=None if trained is None else trained.config.generator,
    )
    curve_frames = request.curve_frames or request.frames
    first = 0 if request.protocol == "as-published" else given
    span, long_span = Span(first, request.frames), Span(first, curve_frames)
    chosen = choose(request.metrics, request.weights, request.device, say)
    plan = Plan.of(
        chosen,
        span,
        long_span,
        side=request.clips.resolution,
        given=given,
        futures=request.futures,
        n=count,
        asked=request.metrics,
        say=say,
    )

    with ExitStack() as stack:
        keep = request.keep
        if keep is None:
            keep = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stillflow-evaluation-")))
        data = request.clips.readers[0].path.parent
        beside_data = writable_home(data / "features", keep)
        made = _sources(request, held, beside_data, keep, curve_frames, say)
        moving = _moving(request, held, keep) if request.motion else {}
        maps = MotionMaps(span, request.clips.resolution)
        total = count * (1 + sum(len(futures) for futures in made.values()) + len(moving))
        through = 0

        def passed(clips: int) -> None:
            nonlocal through
            through += clips
            done(through, total)

        def take(source: Source, measures: list[Measure]) -> dict[str, Array]:
            normalisation = NORMALISATION[request.protocol]
            return filled(source, measures, held, normalisation=normalisation, say=say, done=passed)

        def measures(row: str) -> list[Measure]:
            mapped = {"real", "copied_frame"} if "trained" in moving else {"real", "copied_frame", "model"}
            return [*plan.of_row(row), *([maps] if request.motion and row in mapped else [])]

        real = take(sources.real(held, beside_data), measures("real"))
        arrays: dict[str, list[dict[str, Array]]] = {}
        together: dict[str, Array] = {}
        for row, futures in made.items():
            joint = plan.diversity if row == "model" else None
            arrays[row], shared = filled_together(
                futures,
                measures(row),
                joint,
                held,
                normalisation=NORMALISATION[request.protocol],
                say=say,
                done=passed,
            )
            together.update(shared)
        correlations: dict[str, dict[str, Any]] = {}
        if request.motion:
            mapped = {name: take(source, [maps])[maps.name] for name, source in moving.items()}
            if trained is not None and trained.deterministic:
                mapped["trained"] = arrays["model"][0][maps.name]
            mapped["copied_frame"] = arrays["copied_frame"][0][maps.name]
            correlations = {
                name: motion_summary(mapped[name], real[maps.name]) for name in ("trained", "untrained", "copied_frame")
            }

        facts = _facts(request, held, chosen, plan, len(made.get("model", [None])), curve_frames)
        if facts["videos"] < 2:
            say(f"all {count} clips are of one video: no intervals, and no halves of the real clips to compare")
        elif facts["videos"] < FEW_VIDEOS and request.draws:
            say(f"the intervals rest on {facts['videos']} videos: too few for more than a hint of chance")
        chance: dict[str, Any] = {"videos": held.videos, "draws": request.draws, "seed": request.seed}
        numbers = Numbers(plan, real, arrays, together, request.reference, **chance, say=say)
        report: dict[str, Any] = {
            "format": FORMAT,
            "protocol": facts,
            **numbers.summaries(),
            "metrics": numbers.metrics(deterministic=trained is not None and trained.deterministic),
            "curves": numbers.curves(first_shown=given - first),
            "few_curves": numbers.few_curves(),
        }
        report["protocols"] = plan.protocols(report["metrics"], facts)
        if request.motion:
            report["motion"] = correlations
    return report


def _checked(request: EvaluationRequest, say: Callable[[str], None]) -> tuple[EvaluationRequest, int]:
    """The request with what it may not say, and the frames that are given; the errors that `evaluate` names."""
    trained, frames = request.trained, request.frames
    given = request.given if trained is None else trained.context_frames
    if trained is None and request.samples is None:
        raise UsageError("there is nothing to evaluate: give --run, --samples or both")
    if given == 0:
        raise UsageError(
            "this model is unconditional (generator.context_frames=0): its clips have no true future to score"
        )
    if frames <= given:
        raise UsageError(f"--frames {frames} leaves nothing to score after the {given} frames that the model is given")
    curve_frames = request.curve_frames
    if curve_frames is not None and not frames <= curve_frames <= LONGEST_CURVE:
        raise UsageError(f"--curve-frames takes --frames ({frames}) to {LONGEST_CURVE}, not {curve_frames}")
    sample_videos.require_clips(request.clips)
    if request.motion and trained is None:
        raise UsageError("--motion compares a run with its own networks before training: give --run")
    if trained is not None and trained.deterministic and request.futures > 1:
        say(f"--futures {request.futures}: the model is deterministic, so that one image has one future")
        request = replace(request, futures=1)
    if request.samples is not None:
        matched = sample_videos.match(request.samples, request.clips, curve_frames or frames, say)
        request = replace(request, clips=matched.clips)
    return request, given


def _sources(
    request: EvaluationRequest,
    held: HeldOut,
    beside_data: Path,
    keep: Path,
    curve_frames: int,
    say: Callable[[str], None],
) -> dict[str, list[Source]]:
    """The rows of the report, each with its futures."""
    made: dict[str, list[Source]] = {}
    if request.trained is not None:
        seed = None if request.trained.deterministic else request.seed
        made["model"] = [
            sources.rolled_out(held, request.trained, keep, frames=curve_frames, seed=seed, future=future)
            for future in range(request.futures)
        ]
    if request.samples is not None:
        made["samples"] = [sample_videos.of_folder(held, request.samples, keep, curve_frames)]
    made["copied_frame"] = [sources.copied_frame(held, beside_data)]
    train = _training_clips(request, held, say)
    if train is not None:
        made["blend_of_training"] = [sources.blend_of_training(held, train, beside_data, request.seed)]
    return made


def _training_clips(request: EvaluationRequest, held: HeldOut, say: Callable[[str], None]) -> ClipSet | None:
    """The clips to blend; None, with a remark, where there are none."""
    folder = request.clips.readers[0].path.parent
    try:
        train = open_clips(folder, "train", resolution=request.clips.resolution, frames=held.frames)
    except DataError as error:
        say(f"no blend of training clips: {error}")
        return None
    if not train.clips:
        say("no blend of training clips: split train is empty")
        return None
    return train


def _moving(request: EvaluationRequest, held: HeldOut, keep: Path) -> dict[str, Source]:
    """What is correlated with where the real clips move, beside what is a row of the report already.

    Nothing is drawn, so that noise's flicker is no motion.
    """
    trained = request.trained
    assert trained is not None
    untrained = build_generator(trained.config).to(next(trained.generator.parameters()).device).eval()
    quiet = {
        "untrained": sources.rolled_out(held, trained, keep, frames=request.frames, seed=None, generator=untrained)
    }
    if not trained.deterministic:
        quiet["trained"] = sources.rolled_out(held, trained, keep, frames=request.frames, seed=None)
    return quiet


def _facts(
    request: EvaluationRequest, held: HeldOut, chosen: Chosen, plan: Plan, futures: int, curve_frames: int
) -> dict[str, Any]:
    """Every fact that makes two numbers comparable, and where they come from."""
    trained, clips = request.trained, request.clips
    extractors: dict[str, dict[str, str]] = {
        extractor.name: {"digest": extractor.digest, **extractor.facts} for extractor in chosen.extractors
    }
    if chosen.lpips is not None:
        extractors["lpips"] = {"digest": chosen.lpips.digest, **chosen.lpips.facts}
    return with_hash(
        {
            "name": request.protocol,
            "n": held.count,
            "n_real": held.count,
            "n_fake": held.count,
            "frames": request.frames,
            "context_frames": held.given,
            "first_frame": plan.span.start,
            "scored_frames": plan.span.length,
            "curve_frames": curve_frames,
            "stride": 1,
            "start": "first label map" if held.masked else 0,
            "resolution": clips.resolution,
            "split": clips.split,
            "normalisation": NORMALISATION[request.protocol],
            "left_out_shorter": clips.left_out,
            "left_out_unmasked": clips.unmasked,
            "weights": None if trained is None else trained.source.name,
            "samples": None if request.samples is None else str(request.samples),
            "step": None if trained is None else trained.step,
            "preset": None if trained is None else trained.config.preset,
            "seed": request.seed,
            "noise": None if trained is None else "off" if trained.deterministic else "on",
            "futures": futures,
            "reference": request.reference,
            "draws": request.draws,
            "videos": len(np.unique(held.videos)),
            "device": request.device.type,
            "data": str(clips.readers[0].path.parent),
            "data_recipe_hash": clips.recipe_hash,
            "data_hash": sources.data_hash_of(clips.readers[0].path.parent, clips.split),
            "clips_hash": sources.digest_of(held.ids),
            "ssim": SSIM,
            "extractors": extractors,
            **plan.facts(),
        }
    )
