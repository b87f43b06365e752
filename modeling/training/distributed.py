"""Several processes that share each batch, under `torchrun`: each has all networks and takes its part of the clips.

Plain `torch.distributed`, neither `DistributedDataParallel` nor Lightning Fabric, which wraps it: that wrapper adds
gradients up during the one backward of the one forward that it was called for, and an update here has many (loss and
penalty, a double backward, micro-batch after micro-batch, several networks). All that an update needs is one sum of the
gradients after its last micro-batch, so that is what there is, and equality with one process can be tested.

The processes' weights stay equal without being sent: each begins from the same seed or checkpoint, the summed gradients
are the same to the bit everywhere, and so is every update. Batch norm normalises by a process's own micro-batch, as it
does without other processes; its running statistics are the whole batch's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from modeling.config import ConfigError
from modeling.errors import ModelingError, UsageError
from modeling.inference import choose_device

BUCKET = 2**23  #      values that are sent together: 32 MiB of float32, so that the copy stays small beside a network
FAILED = "failed"  #   key in the store under which the first process that fails puts its rank
LONGEST_WAIT = timedelta(hours=1)  # for one another, such as while the first one writes a sample
GRACE = 3.0  #         seconds for a process that failed to say so before others report that they lost it


class LostProcessError(ModelingError):
    """Another process of this training is gone."""


CPU = torch.device("cpu")


@dataclass(frozen=True)
class Processes:
    """The processes of a training, seen from one of them. A single one exchanges nothing."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU
    store: Store | None = None  # what the processes of a `torchrun` share beside their exchanges

    @property
    def first(self) -> bool:
        """The one that writes: run folder, logs, checkpoints, samples, what is said."""
        return self.rank == 0

    def part(self, batch: int) -> range:
        """The samples of a batch that are this process's; ConfigError where they do not divide evenly."""
        if batch % self.size:
            raise ConfigError(
                f"training.batch={batch} does not divide among {self.size} processes: "
                f"set it to a multiple of {self.size}, or start another number with torchrun --nproc-per-node"
            )
        own = batch // self.size
        return range(self.rank * own, (self.rank + 1) * own)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes; the result is the same to the bit in all of them."""
        if self.size == 1:
            return
        for bucket in buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            with _exchanging():
                dist.all_reduce(flat)
            for tensor, values in zip(bucket, torch.split(flat, [tensor.numel() for tensor in bucket]), strict=True):
                tensor.copy_(values.view_as(tensor))

    def largest(self, *values: int) -> list[int]:
        """Each value's maximum over the processes."""
        if self.size == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.int64, device=self.device)
        with _exchanging():
            dist.all_reduce(shared, dist.ReduceOp.MAX)
        return [int(value) for value in shared.tolist()]

    def smallest(self, value: int) -> int:
        return -self.largest(-value)[0]

    def wait(self) -> None:
        """Until all processes are here."""
        self.largest(0)

    @contextmanager
    def one_message(self) -> Iterator[None]:
        """Of the errors that end a training, one process's goes on outwards; the others leave quietly with status 1."""
        try:
            yield
        except Exception as error:
            if self.store is not None and not self._is_first_to_fail(isinstance(error, LostProcessError)):
                raise SystemExit(1) from None
            raise

    def _is_first_to_fail(self, lost: bool) -> bool:
        """Whether this process is to report. One that merely lost another gives that one time to do so."""
        assert self.store is not None
        with suppress(RuntimeError):  # the store is gone with the process that kept it: nobody else reports
            if lost:
                try:
                    self.store.wait([FAILED], timedelta(seconds=GRACE))
                    return False
                except RuntimeError:
                    pass
            holder = self.store.compare_set(FAILED, "", str(self.rank))
            return bool(holder.decode() == str(self.rank))
        return self.first


ALONE = Processes()


def buckets(tensors: Sequence[Tensor], size: int = BUCKET) -> Iterator[list[Tensor]]:
    """The tensors in their order, in groups of one type and device with at most `size` values (or one tensor)."""
    group: list[Tensor] = []
    for tensor in tensors:
        fits = sum(one.numel() for one in group) + tensor.numel() <= size
        if group and not (fits and (tensor.dtype, tensor.device) == (group[0].dtype, group[0].device)):
            yield group
            group = []
        group.append(tensor)
    if group:
        yield group


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The processes that `torchrun` started, all of them there; one alone where there is no torchrun.

    `device` is what --device says: on GPUs each process has its own, on CPUs gloo connects them.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Processes(device=choose_device(device))
        return
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise UsageError(
            f"WORLD_SIZE={size} stands in the environment, but {', '.join(missing)} does not: start with torchrun "
            "--nproc-per-node N -m -- modeling train ..., or unset WORLD_SIZE"
        )
    rank, local_rank = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    # Each waits here for all others, so that what any of them finds wrong can be reported once.
    store, _, _ = next(rendezvous("env://"))
    with Processes(rank, size, store=store).one_message():
        own = _own_device(device, local_rank)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    group_store = PrefixStore("group", store)
    dist.init_process_group(
        "nccl" if own.type == "cuda" else "gloo", store=group_store, rank=rank, world_size=size, timeout=LONGEST_WAIT
    )
    processes = Processes(rank, size, own, store)
    with processes.one_message():
        yield processes
        processes.wait()  # the first one writes last: nobody ends its connections before
    dist.destroy_process_group()


def _own_device(name: str, local_rank: int) -> torch.device:
    device = choose_device(name)
    if device.type == "cpu":
        return device
    if device.index is not None:
        raise UsageError(f"--device {name} names one GPU: under torchrun give --device cuda, a GPU for each process")
    there = torch.cuda.device_count()
    if local_rank >= there:
        raise UsageError(
            f"torchrun started more processes on this machine than the {there} GPUs that it has: "
            f"give --nproc-per-node {there}, or --device cpu"
        )
    return torch.device("cuda", local_rank)


@contextmanager
def _exchanging() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise LostProcessError(
            f"lost another process of this training ({str(error).splitlines()[0]}): it was killed, perhaps for its "
            "memory; the same command resumes from the newest checkpoint"
        ) from None
