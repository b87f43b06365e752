"""TensorBoard's event files in RUN/tensorboard: every metric as a scalar, the samples as GIFs.

Only the messages are TensorBoard's own. The records around them are written here, synchronously, in the watcher's
thread: torch's SummaryWriter has a second thread, which prints a traceback when the disk is full, and computes its
checksums a byte at a time in Python, 0.1 s of the interpreter's lock for a sample.

A resumed run begins a file that says from which step on earlier files are void, so no step is shown twice.
"""

from __future__ import annotations

import importlib
import os
import socket
import struct
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

from modeling.errors import UsageError
from modeling.media.video import write_video
from modeling.runs.curves import family_of
from modeling.watchers import RunStart
from modeling.watchers.background import BackgroundWatcher, Display, Record, Sample

FOLDER = "tensorboard"
GIFS = 100  # at most, spread over a run: they are a thousand times a step's scalars


class TensorBoardWatcher(BackgroundWatcher):
    """Writes a run's metrics and samples where `tensorboard --logdir RUN/tensorboard` finds them.

    UsageError where the package is not installed. `say` gets a line when the files cannot be written, and when again.
    """

    def __init__(self, run: Path, say: Callable[[str], None]) -> None:
        try:
            self.events: Any = importlib.import_module("tensorboard.compat.proto.event_pb2")
            self.summaries: Any = importlib.import_module("tensorboard.compat.proto.summary_pb2")
        except ImportError:
            raise UsageError(
                "--tensorboard needs the package tensorboard: pip install stillflow[tensorboard]"
            ) from None
        self.folder = run / FOLDER
        self.reached = 0  #                   the last step that is in the files; what comes after it is void
        self._opened = False
        super().__init__(say)

    def _open(self, start: RunStart | None) -> tuple[Display, int]:
        if not self._opened:
            begun = any(self.folder.glob("events.out.tfevents.*"))
            self.reached = start.first_step if start is not None and begun else 0
            self._opened = True
        self.folder.mkdir(parents=True, exist_ok=True)
        return _EventFile(self, start), self.reached

    def _failure(self, error: Exception) -> str:
        what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return f"{self.folder} cannot be written ({what or type(error).__name__})"

    def _recovery(self) -> str:
        return f"{self.folder} is written again"


class _EventFile(Display):
    """One file of events, flushed whenever something was shown."""

    def __init__(self, watcher: TensorBoardWatcher, start: RunStart | None) -> None:
        self._watcher, self._steps = watcher, 0 if start is None else start.config.training.steps
        self._gif_at: int | None = None
        name = f"events.out.tfevents.{time.time():017.6f}.{socket.gethostname()}.{os.getpid()}"
        self._stream = (watcher.folder / name).open("xb")
        self._write(step=watcher.reached + 1, file_version="brain.Event:2")
        # What earlier files hold from this step on was done by a session that was killed, and is done again.
        restart = watcher.events.SessionLog(status=watcher.events.SessionLog.START)
        self._write(step=watcher.reached + 1, session_log=restart)
        self._stream.flush()

    def show(self, records: Sequence[Record], samples: Sequence[Sample]) -> None:
        for record in records:
            self._write(step=int(record["step"]), summary=self._scalars(record))
        for sample in samples:
            if self._gif_at is None or sample.step - self._gif_at >= self._steps / GIFS:
                self._gif_at = sample.step
                self._write(step=sample.step, summary=self._gif(sample.video))
        self._stream.flush()
        if records:
            self._watcher.reached = int(records[-1]["step"])

    def close(self) -> None:
        self._stream.close()

    def _scalars(self, record: Record) -> Any:
        summary = self._watcher.summaries.Summary()
        for name, value in record.items():
            family = family_of(name)
            if family is not None:
                summary.value.add(tag=f"{family.key}/{name}", simple_value=value)
        return summary

    def _gif(self, video: Path) -> Any:
        with av.open(str(video)) as container:
            fps = float(container.streams.video[0].average_rate or 25)
            frames: NDArray[np.uint8] = np.stack(
                [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "sample.gif"
            write_video(path, frames, fps=fps, form="gif")
            data = path.read_bytes()
        summary = self._watcher.summaries.Summary()
        image = summary.Image(height=frames.shape[1], width=frames.shape[2], colorspace=3, encoded_image_string=data)
        summary.value.add(tag="samples/input, generated, real", image=image)
        return summary

    def _write(self, **fields: Any) -> None:
        data = self._watcher.events.Event(wall_time=time.time(), **fields).SerializeToString()
        length = struct.pack("<Q", len(data))
        self._stream.write(length + _checksum(length) + data + _checksum(data))


def _checksum(data: bytes) -> bytes:
    """TFRecord's: CRC-32C, rotated by 15 bits and offset by a constant."""
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
