"""A run folder: configuration, environment, checkpoints, metrics, samples, and the model for inference."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from modeling.config import Config, ConfigError
from modeling.data.windows import ClipSet
from modeling.errors import ModelingError, UsageError
from modeling.files import disk_error, read_json, temporary_beside, write_json, write_text
from modeling.runs.checkpoint import CheckpointFolder

MODEL_FORMAT = 1
REPORTED_PACKAGES = ("stillflow", "torch", "numpy", "h5py", "av", "opencv-python-headless")

# What a run may be continued with although its config.yaml says otherwise: how far it goes.
# Temp files of `modeling.files` that a killed training left.
LEFT_BY_A_KILL = re.compile(
    r"\.(step-|best|model\.|config\.|environment\.|metrics\.|outliers\.|gradient-norms\.|latest)[^ ]*-\w{8}\.(tmp|mp4)"
)
ENVIRONMENT_IS_LOST = "remove the run folder and train anew"
STEPS, SCHEDULE, CHECKS = "training.steps", "training.schedule_steps", "checks."


class RunError(UsageError):
    """A run folder that cannot be used as it was asked for."""


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run, and what is read from and written to them."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def environment_file(self) -> Path:
        return self.path / "environment.json"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def model_file(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def checkpoints(self) -> CheckpointFolder:
        return CheckpointFolder(self.path / "checkpoints")

    def sample_file(self, step: int) -> Path:
        return self.path / "samples" / f"step-{step:08d}.mp4"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one training; RunError where another has it. A kill gives it free."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise disk_error(self.path, error) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(f"{self.path} is being trained by another process: wait for it, or stop it") from None
            for folder in (self.path, self.path / "checkpoints", self.path / "samples"):
                for file in folder.glob(".*"):
                    if LEFT_BY_A_KILL.fullmatch(file.name):
                        file.unlink(missing_ok=True)
            yield
        finally:
            os.close(descriptor)

    def read_config(self) -> Config:
        """The run's configuration; RunError where `path` is no run folder."""
        try:
            values = yaml.safe_load(self.config_file.read_text())
            return Config.from_dict(values)
        except FileNotFoundError:
            raise RunError(
                f"{self.path} is no run folder (it has no config.yaml): make one with `modeling train`"
            ) from None
        except (OSError, yaml.YAMLError, ConfigError) as error:
            raise RunError(f"{self.config_file} cannot be used: {str(error).splitlines()[0]}") from None

    def check_config(self, asked: Config) -> None:
        """RunError naming the keys in which `asked` differs from the run's own configuration, where it has one.

        Only the length may change (more steps, or a longer schedule) and what is looked at on the way (`checks`).
        """
        if not self.config_file.exists():
            if self.checkpoints.all():
                raise RunError(f"{self.path} has checkpoints but no config.yaml: restore it, or choose another --run")
            return
        held, wanted = flat(self.read_config().to_dict()), flat(asked.to_dict())
        free = {STEPS, SCHEDULE} if wanted[SCHEDULE] >= held[SCHEDULE] else {STEPS}
        differing = [
            f"{key} ({held.get(key)} in the run, {wanted.get(key)} asked for)"
            for key in dict.fromkeys([*held, *wanted])
            if held.get(key) != wanted.get(key) and key not in free and not key.startswith(CHECKS)
        ]
        if differing:
            raise RunError(
                f"{self.path} was trained with another configuration: {'; '.join(differing)}. "
                "Give the same preset and --set options, or another --run"
            )

    def record_config(self, config: Config) -> None:
        """Write config.yaml where the run is new, is to become longer, or is looked at in another way."""
        if self.config_file.exists():
            held = self.read_config()
            shorter = config.training.steps <= held.training.steps
            same_schedule = config.training.schedule_steps == held.training.schedule_steps
            if shorter and same_schedule and config.checks == held.checks:
                return
            if shorter and same_schedule:
                config = replace(held, checks=config.checks)
        write_text(self.config_file, yaml.safe_dump(config.to_dict(), sort_keys=False))

    def record_environment(
        self, clips: Mapping[str, ClipSet], *, seed: int, device: str, accept_new_data: bool, processes: int = 1
    ) -> None:
        """Write environment.json; a resume adds itself to it. RunError where the data are others than before."""
        data = {
            "recipe_hash": clips["train"].recipe_hash,
            "shards": {name: sha for split in clips.values() for name, sha in split.shard_sha256.items()},
        }
        session = {
            "command": shlex.join(sys.argv),
            "git": git_revision(),
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in REPORTED_PACKAGES},
            "platform": platform.platform(),
            "device": device,
            "processes": processes,
            "threads": torch.get_num_threads(),
        }
        if not self.environment_file.exists():
            write_json(self.environment_file, {**session, "seed": seed, "data": data, "resumed": []})
            return
        recorded = read_json(self.environment_file, ENVIRONMENT_IS_LOST)
        held = recorded.get("data", {}).get("shards", {})
        train_now = clips["train"].shard_sha256
        train_then = {name: sha for name, sha in held.items() if name.startswith("train-")}
        if train_now != train_then and not accept_new_data:
            names = sorted(name for name in {*train_then, *train_now} if train_then.get(name) != train_now.get(name))
            raise RunError(
                f"these are not the shards that {self.path} was trained on ({', '.join(names)}): "
                "give those, another --run, or --accept-new-data to go on with these"
            )
        changed = held != data["shards"]
        resumed = [*recorded.get("resumed", []), {**session, "data": data} if changed else session]
        # What it was trained on before stays named: a take-down asks which runs read a shard.
        before = [*recorded.get("data_before", []), *([recorded["data"]] if changed and held else [])]
        write_json(self.environment_file, {**recorded, "data": data, "data_before": before, "resumed": resumed})

    def note(self, key: str, value: Any) -> None:
        """Add a key to environment.json."""
        write_json(self.environment_file, {**read_json(self.environment_file, ENVIRONMENT_IS_LOST), key: value})

    def noted(self, key: str) -> Any:
        """What `note` wrote; None where nothing was."""
        return read_json(self.environment_file, ENVIRONMENT_IS_LOST).get(key)

    def write_model(self, weights: Mapping[str, Tensor], *, config: Config, step: int, averaged: bool) -> None:
        """Write model.safetensors and model.json: the generator for inference, averaged where an average is kept."""
        about = {
            "format": MODEL_FORMAT,
            "preset": config.preset,
            "step": step,
            "weights": "moving average" if averaged else "as trained",
            "seed": config.training.seed,
            "config": config.to_dict(),
        }
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        with temporary_beside(self.model_file) as temporary:
            try:
                save_file(tensors, temporary, metadata={"step": str(step)})  # several keys come in any order
            except SafetensorError as error:
                raise ModelingError(f"{self.model_file} could not be written: {error}") from error
        write_json(self.path / "model.json", about)

    def read_model(self) -> tuple[dict[str, Tensor], Config, int]:
        """Weights, configuration and step of model.safetensors; RunError where there is none yet or it is damaged."""
        if not self.path.is_dir():
            raise RunError(f"there is no run folder {self.path}: make one with `modeling train`")
        if not self.model_file.exists():
            raise RunError(f"{self.path} holds no model.safetensors yet: train it further with `modeling train`")
        about = read_json(self.path / "model.json", "train the run further with `modeling train`")
        try:
            config = Config.from_dict(about["config"])
            weights = load_file(self.model_file)
        except (KeyError, ConfigError) as error:
            raise RunError(f"{self.path / 'model.json'} does not describe a model: {error}") from None
        except (OSError, SafetensorError) as error:
            raise RunError(
                f"{self.model_file} is damaged ({str(error).splitlines()[0]}): train the run further"
            ) from None
        return weights, config, int(about["step"])


class MetricsLog:
    """metrics.jsonl: one JSON line a step, appended and flushed at once."""

    def __init__(self, path: Path, *, last_step: int) -> None:
        """Open for appending after `last_step`; lines beyond it, of a run that was killed, are removed."""
        kept = []
        if path.exists():
            for line in path.read_text().splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # a line cut short by a kill
                    if json.loads(line)["step"] <= last_step:
                        kept.append(line + "\n")
        write_text(path, "".join(kept))
        self.path = path
        self._stream = path.open("a")

    def append(self, record: Mapping[str, Any]) -> None:
        try:
            self._stream.write(json.dumps(record, allow_nan=False) + "\n")
            self._stream.flush()
        except OSError as error:
            raise disk_error(self.path, error) from error

    def sync(self) -> None:
        """Bring the lines to the disk: done before the checkpoint that they lead up to."""
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a full disk has been reported where it was met
            self._stream.close()


def require_same_networks(checkpoint: Path, state: Mapping[str, object], config: Config) -> None:
    """RunError unless `state` was saved by a run of the same preset, resolution and networks as `config`."""
    saved = state.get("config")
    held = saved if isinstance(saved, dict) else {}
    with contextlib.suppress(ConfigError):  # options that are newer than the checkpoint have their defaults
        held = Config.from_dict(held).to_dict()
    wanted = config.to_dict()
    networks = ("preset", "resolution", "generator", "decomposition", "d_s", "d_t")
    differing = [key for key in networks if held.get(key) != wanted[key]]
    if differing:
        raise RunError(
            f"checkpoint {checkpoint} is of preset {held.get('preset')}, this run is of preset {config.preset} "
            f"(differing: {', '.join(differing)}): give a checkpoint of this run"
        )


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            result.update(flat(value, f"{prefix}{key}."))
        else:
            result[prefix + key] = value
    return result


def git_revision() -> str | None:
    """The commit of the source tree that is running, with "-dirty" where files differ; None outside a checkout."""
    source = Path(__file__).resolve()
    git = ["git", "-C", str(source.parent)]
    try:
        # An installed copy inside somebody's own repository is no checkout of this one.
        subprocess.run([*git, "ls-files", "--error-unmatch", source.name], capture_output=True, timeout=10, check=True)
        described = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(described, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
