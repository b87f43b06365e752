"""`modeling train`: a run from shards, begun or resumed."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from modeling.commands.common import device_option, json_option, report, run_option
from modeling.config import apply_overrides
from modeling.presets import get
from modeling.runs.folder import RunFolder
from modeling.training.convergence import Convergence
from modeling.training.distributed import Processes, joined
from modeling.training.loop import TrainingRequest, TrainingResult
from modeling.training.loop import train as train_run
from modeling.watchers import Watcher
from modeling.watchers.terminal import TerminalWatcher, duration


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, metavar="DIR", help="The folder of shards.")
@click.option("--preset", required=True, metavar="NAME", help="Networks and recipe; `modeling describe` lists them.")
@run_option
@click.option("--steps", type=click.IntRange(min=1), help="Generator updates in all.  [default: the preset's]")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Of weights, windows, flips and noise.  [default: the preset's, 0]"
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change an option of the preset; repeatable."
)
@click.option("--checkpoint-every", type=click.IntRange(min=1), default=100, show_default=True, metavar="STEPS")
@click.option("--sample-every", type=click.IntRange(min=1), metavar="STEPS", help="[default: as --checkpoint-every]")
@click.option(
    "--milestone-every",
    type=click.IntRange(min=1),
    metavar="STEPS",
    help="Keep the checkpoints at its multiples for good; of the others, the newest three stay.",
)
@click.option(
    "--until-converged",
    is_flag=True,
    help="Stop before --steps once the smoothed Wasserstein estimates have stayed flat.",
)
@click.option(
    "--convergence-window",
    type=int,
    default=Convergence.window,
    show_default=True,
    metavar="STEPS",
    help="Flat over how many steps; it must stay so for as many again.",
)
@click.option(
    "--convergence-tolerance",
    type=float,
    default=Convergence.tolerance,
    show_default=True,
    metavar="SHARE",
    help="Flat: the fitted line moves by less than this share of the largest estimate.",
)
@device_option
@click.option("--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes that read shards.")
@click.option("--visdom", metavar="URL", help="Show the run on this Visdom server, such as http://localhost:8097.")
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard's event files to RUN/tensorboard.")
@click.option("--accept-new-data", is_flag=True, help="Go on with other shards than those trained on so far.")
@json_option
def train(
    data: Path,
    preset: str,
    run: Path,
    steps: int | None,
    seed: int | None,
    overrides: tuple[str, ...],
    checkpoint_every: int,
    sample_every: int | None,
    milestone_every: int | None,
    until_converged: bool,
    convergence_window: int,
    convergence_tolerance: float,
    device: str,
    workers: int,
    visdom: str | None,
    tensorboard: bool,
    accept_new_data: bool,
    as_json: bool,
) -> None:
    """Train a generator on shards. The same command again resumes; a larger --steps goes on.

    On N GPUs: torchrun --nproc-per-node N -m -- modeling train ... (training.batch stays the whole batch; without the
    two dashes torchrun takes --run for an option of its own).
    """
    options = list(overrides)
    if steps is not None:
        options.append(f"training.steps={steps}")
    if seed is not None:
        options.append(f"training.seed={seed}")
    with joined(device) as processes:
        config = apply_overrides(get(preset), options)
        rule = Convergence(window=convergence_window, tolerance=convergence_tolerance)
        request = TrainingRequest(
            data=data,
            run=run,
            config=config,
            device=processes.device,
            checkpoint_every=checkpoint_every,
            sample_every=sample_every or checkpoint_every,
            milestone_every=milestone_every,
            workers=workers,
            accept_new_data=accept_new_data,
            convergence=rule if until_converged else None,
        )
        if not processes.first:
            result = train_run(request, processes=processes)
        else:
            result = _watched(request, visdom, tensorboard, processes)
            _report(RunFolder(run), data, result, as_json)
    if result.signal is not None:
        raise SystemExit(128 + result.signal)


def _watched(request: TrainingRequest, visdom: str | None, tensorboard: bool, processes: Processes) -> TrainingResult:
    terminal = TerminalWatcher(request.config.training.steps, Console(stderr=True))
    watchers: list[Watcher] = [terminal]
    try:
        if visdom is not None:
            # Only here: the client's imports are of no use to a run without a dashboard.
            from modeling.watchers.visdom import VisdomWatcher

            watchers.append(VisdomWatcher(visdom, request.run.resolve().name, terminal.say))
        if tensorboard:
            from modeling.watchers.tensorboard import TensorBoardWatcher

            watchers.append(TensorBoardWatcher(request.run, terminal.say))
        return train_run(request, watchers, terminal.say, processes)
    finally:
        for watcher in watchers:
            watcher.close()


def _report(folder: RunFolder, data: Path, result: TrainingResult, as_json: bool) -> None:
    done = result.step - result.first_step
    if done:
        lines = [f"trained {folder.path} from step {result.first_step} to {result.step} in {duration(result.seconds)}"]
    elif result.signal is not None:
        lines = [f"no step was done in {folder.path}"]
    else:
        lines = [f"{folder.path} has {result.step} steps already: nothing was left to do (--steps N goes on)"]
    content = {
        "run": str(folder.path),
        "first_step": result.first_step,
        "step": result.step,
        "steps": result.steps,
        "seconds": round(result.seconds, 3),
        "interrupted_by": result.signal,
        "converged": result.converged,
        "model": str(folder.model_file) if folder.model_file.exists() else None,
        "last": result.last,
    }
    if folder.model_file.exists():
        lines.append(f"model: {folder.model_file}; samples: {folder.path / 'samples'}; log: {folder.metrics_file}")
    if result.converged is not None:
        lines.append(result.converged)
    if result.signal is not None:
        lines.append(f"interrupted at step {result.step} of {result.steps}; the same command resumes it")
    next_command = (
        f"modeling evaluate --run {folder.path} --data {data} --split test" if result.signal is None else None
    )
    report(as_json, content, lines, next_command=next_command)
