"""Checkpoints are whole or not there, checked when read, pruned to the newest and the milestones."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import IO, Any

import pytest
import torch

from modeling.errors import ModelingError
from modeling.runs.checkpoint import KEPT, CheckpointError, CheckpointFolder, load_checkpoint, save_checkpoint

CPU = torch.device("cpu")


def _state(step: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(step)
    return {"step": step, "weights": {"w": torch.randn(1000, generator=generator)}, "betas": (0.5, 0.999), "none": None}


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "step-00000007.pt"
    save_checkpoint(path, _state(7))
    state = load_checkpoint(path, CPU)
    assert torch.equal(state["weights"]["w"], _state(7)["weights"]["w"])
    assert (state["step"], state["betas"], state["none"]) == (7, (0.5, 0.999), None)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_cut_checkpoint_is_named(tmp_path: Path, share: float) -> None:
    path = tmp_path / "step-00000001.pt"
    save_checkpoint(path, _state(1))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError, match=r"step-00000001\.pt is damaged or cut short"):
        load_checkpoint(path, CPU)


def test_a_flipped_bit_in_a_weight_is_found(tmp_path: Path) -> None:
    path = tmp_path / "step-00000001.pt"
    save_checkpoint(path, _state(1))
    data = bytearray(path.read_bytes())
    at = data.find(_state(1)["weights"]["w"].numpy().tobytes()[:64])
    assert at > 0
    data[at + 10] ^= 4
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path, CPU)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="no checkpoint of this version"):
        load_checkpoint(path, CPU)
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "missing.pt", CPU)
    torch.save({"format_version": 1, "code": _Hostile(tmp_path / "ran")}, path)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path, CPU)
    assert not (tmp_path / "ran").exists()


class _Hostile:
    """Pickles as a call, which a load with weights_only must not make."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def test_a_damaged_newest_is_named_and_the_older_one_used(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    for step in (1, 2, 3):
        folder.save(step, _state(step))
    assert (tmp_path / "latest").read_text() == "step-00000003.pt\n"
    folder.file(3).write_bytes(b"no")
    folder.file(2).write_bytes(folder.file(2).read_bytes()[:-50])
    said: list[str] = []
    found = folder.load_newest(CPU, said.append)
    assert found is not None
    assert found[0] == folder.file(1)
    assert found[1]["step"] == 1
    assert "step-00000003.pt" in said[0]
    assert "step-00000002.pt" in said[1]
    assert said[2] == f"going back to the older checkpoint {folder.file(1)}"
    folder.file(1).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* can be read"):
        folder.load_newest(CPU, said.append)


def test_the_newest_and_the_milestones_stay(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    for step in range(1, 11):
        folder.save(step, _state(step), milestone_every=4)
    assert [step for step, _ in folder.all()] == [4, 8, 9, 10]
    assert KEPT == 3


def test_no_checkpoint_yet(tmp_path: Path) -> None:
    assert CheckpointFolder(tmp_path / "none").load_newest(CPU, print) is None


@pytest.mark.parametrize("written", [0, 100, 3000])
def test_a_full_disk_leaves_the_older_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(1, _state(1))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    real_open = Path.open

    class Full:
        """A file on a disk that takes `written` bytes more."""

        def __init__(self, stream: IO[bytes]) -> None:
            self.stream, self.left = stream, written

        def write(self, data: bytes) -> int:
            self.left -= len(bytes(data))
            if self.left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.stream.write(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.stream, name)

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *exc: object) -> None:
            self.stream.close()

    def full_open(path: Path, mode: str = "r", **options: Any) -> Any:
        stream = real_open(path, mode, **options)
        return Full(stream) if mode == "wb" else stream

    monkeypatch.setattr(Path, "open", full_open)
    with pytest.raises(ModelingError, match=r"step-00000002\.pt could not be written: No space left") as caught:
        folder.save(2, _state(2))
    monkeypatch.undo()
    assert "\n" not in str(caught.value)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
