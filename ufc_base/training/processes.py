"""One training run on one process or on many, which `accelerate` joins.

The trainers speak to `Engine` alone. On one process it does next to nothing; under `accelerate
launch` or `torchrun` it shares gradients (DDP) or weights, gradients and optimiser (FSDP2).

Every process sees its slice of a step's batch, in order, so that all slices together are the batch
one process would have had. Whatever is not a plain mean over the batch is put right by `sum`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ufc_base.computing.processor import cpu_has_bf16
from ufc_base.training.ranks import Ranks, ranks_from_environment

Module = TypeVar("Module", bound=nn.Module)
SHARDINGS = ("ddp", "fsdp")
PATIENCE = timedelta(hours=2)  # while the first process encodes a set, the others wait
PRECISIONS = ("auto", "bf16", "no")


class Engine:
    """Devices, precision and processes of a run.

    Args:
        device: auto, cpu or cuda.
        mixed_precision: auto (bf16 where the machine multiplies it natively), bf16 or no.
        sharding: ddp or fsdp; without effect on one process.
        blocks: class names of the modules that FSDP gathers one at a time.
        partial: whether some weights take no part in some steps (DDP has to look for them).

    Raises:
        ValueError: a name that is not among these, or a device that is not here.
    """

    def __init__(
        self,
        device: str = "auto",
        mixed_precision: str = "no",
        sharding: str = "ddp",
        blocks: tuple[str, ...] = (),
        partial: bool = False,
    ) -> None:
        if sharding not in SHARDINGS:
            raise ValueError(f"sharding is {sharding!r}; choose one of {', '.join(SHARDINGS)}")
        device_here = pick_device(device)
        self.mixed_precision = pick_mixed_precision(mixed_precision, device_here)
        self.device, self.ranks = join(device_here)
        self.blocks, self.partial = blocks, partial
        fsdp = sharding == "fsdp" or os.environ.get("ACCELERATE_USE_FSDP") == "true"
        self.sharded = fsdp and not self.ranks.alone
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high")

    @property
    def first(self) -> bool:
        """Whether this process writes the run's files."""
        return self.ranks.first

    def prepare(self, module: Module, optimizer: torch.optim.Optimizer) -> Module:
        """The module as it is to be called; `optimizer` steps its weights in any case."""
        if self.mixed_precision != "no":
            module.forward = self._mixed(module.forward)
        if self.ranks.alone:
            return module
        if self.sharded:
            self._shard(module, optimizer)
            return module
        return self._exchanging(module, find_unused_parameters=self.partial)

    def _mixed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """A forward pass in mixed precision, whose results are fp32."""

        def mixed(*arguments: Any, **named: Any) -> Any:
            with self.autocast():
                out = method(*arguments, **named)
            return in_fp32(out)

        return mixed

    def _shard(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Spread weights over the processes (FSDP2): `blocks` are gathered one at a time.

        torch's own, since accelerate passes FSDP over on CPUs, where it works with gloo and is
        tested. What is beside the blocks, codebook and embeddings among it, stays fp32.
        """
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        names = {weight: name for name, weight in module.named_parameters()}
        mesh = init_device_mesh(self.device.type, (self.ranks.count,))
        low = torch.bfloat16 if self.mixed_precision != "no" else None
        policy = MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32 if low else None)
        for part in module.modules():
            if type(part).__name__ in self.blocks:
                fully_shard(part, mesh=mesh, mp_policy=policy)
        fully_shard(module, mesh=mesh)
        sharded = dict(module.named_parameters())
        for group in optimizer.param_groups:
            group["params"] = [sharded[names[weight]] for weight in group["params"]]

    def _exchanging(self, module: nn.Module, **settings: Any) -> Any:
        """The module with its gradients shared (DDP)."""
        where = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(
            module, where, gradient_as_bucket_view=True, **settings
        )

    def share(self, module: nn.Module) -> nn.Module:
        """A module beside the main one: small, so its gradients are shared and it is whole."""
        return module if self.ranks.alone else self._exchanging(module)

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Mixed precision for what is called outside the prepared module."""
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.mixed_precision != "no"
        )

    def wait(self) -> None:
        """Until all processes have come here."""
        if not self.ranks.alone:
            dist.barrier()

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def accumulating(self, module: nn.Module, more: bool) -> contextlib.AbstractContextManager[Any]:
        """Around a backward pass that `more` are to follow: gradients are not exchanged yet."""
        if not more or self.ranks.alone:
            return contextlib.nullcontext()
        exchange_later: Any = getattr(module, "no_sync", None)  # DDP's
        return exchange_later() if exchange_later else _unexchanged(module)

    def settle(self, module: nn.Module) -> None:
        """After a forward pass that no backward pass follows: weights go back to their shards."""
        reshard: Any = getattr(module, "reshard", None)
        if reshard is not None:
            reshard()

    def clip(self, parameters: Iterable[nn.Parameter], most: float = 1.0) -> Tensor:
        """Clip the gradients' norm, and return what it was."""
        norm = nn.utils.clip_grad_norm_(list(parameters), most)
        return whole(norm) if is_sharded(norm) else norm

    def finite(self, *values: Tensor) -> bool:
        """Whether these numbers are finite, in every process."""
        found = torch.stack([value.detach().to(self.device, torch.float32) for value in values])
        return float(self.sum((~found.isfinite()).sum())) == 0

    def most(self, *values: float) -> list[float]:
        """The largest of each value in any process."""
        if self.ranks.alone:
            return list(values)
        found = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return found.tolist()

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if not self.ranks.alone:
            dist.all_reduce(value)
        return value

    def mean(self, value: Tensor) -> Tensor:
        return self.sum(value).div_(self.ranks.count)

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all processes, in their order; equally many of each."""
        if self.ranks.alone:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.ranks.count)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def gather_objects(self, value: Any) -> list[Any]:
        """What every process has, by rank."""
        if self.ranks.alone:
            return [value]
        values = [None] * self.ranks.count
        dist.all_gather_object(values, value)
        return values

    def agree(self, value: Any) -> Any:
        """What the first process says."""
        if self.ranks.alone:
            return value
        said = [value]
        dist.broadcast_object_list(said)
        return said[0]

    @contextlib.contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first process before all others: it makes files that they read."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def slice(self, size: int, parts: int = 1) -> range:
        """This process's places in a batch of `size`, a multiple of processes times `parts`.

        Raises:
            ValueError: the batch cannot be shared out equally.
        """
        shares = self.ranks.count * parts
        if size % shares:
            raise ValueError(
                f"train_batch_size is {size}, wanted a multiple of {shares}: "
                f"{self.ranks.count} processes, {parts} parts accumulated by each"
            )
        own = size // self.ranks.count
        return range(self.ranks.rank * own, (self.ranks.rank + 1) * own)


@contextlib.contextmanager
def _unexchanged(module: Any) -> Iterator[None]:
    """The same for an FSDP2 module."""
    module.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        module.set_requires_gradient_sync(True)


def join(device: torch.device) -> tuple[torch.device, Ranks]:
    """This process's device and place among those that a launcher has started.

    `PartialState` is accelerate's public one, a process has one of it, and it has no settings that
    a program with an `Accelerator` of its own would miss. One process alone leaves it untouched.
    """
    if ranks_from_environment().alone and not dist.is_initialized():
        return device, Ranks()
    from accelerate import PartialState

    state = PartialState(cpu=device.type == "cpu", timeout=PATIENCE)
    where = state.device or device
    return where, Ranks(state.process_index, state.num_processes, state.local_process_index)


def pick_device(name: str) -> torch.device:
    """`auto` takes a GPU where there is one.

    Raises:
        ValueError: no such device, or none here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device is {name!r}; choose auto, cpu or cuda") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {name!r}, but there is no CUDA device here; choose cpu")
    return device


def pick_mixed_precision(name: str, device: torch.device) -> str:
    """`bf16` or `no`; `auto` is bf16 where the device multiplies it itself.

    Raises:
        ValueError: another name.
    """
    if name not in PRECISIONS:
        raise ValueError(f"mixed_precision is {name!r}; choose one of {', '.join(PRECISIONS)}")
    if name == "auto":
        return "bf16" if has_bf16(device) else "no"
    return name


def has_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bf16 matrices itself; emulated, they are slower than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and cpu_has_bf16()


def save_memory(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> None:
    """Gradient checkpointing: the forward pass of these kinds of parts is run again when needed."""
    for part in module.modules():
        if isinstance(part, kinds):
            part.forward = _run_again(part.forward)


def _run_again(method: Callable[..., Any]) -> Callable[..., Any]:
    def checkpointed(*arguments: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return method(*arguments, **named)
        return checkpoint(method, *arguments, use_reentrant=False, **named)

    return checkpointed


def in_fp32(value: Any) -> Any:
    """Results of a forward pass with all that is bf16 among them in fp32."""
    if isinstance(value, Tensor):
        return value.float() if value.dtype == torch.bfloat16 else value
    if isinstance(value, dict):
        return {name: in_fp32(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(in_fp32(part) for part in value)
    return value


def is_sharded(value: object) -> bool:
    """Whether a tensor is spread over processes (FSDP)."""
    return hasattr(value, "full_tensor")


def whole(value: Any) -> Any:
    """State with every sharded tensor put together again; all processes have to ask."""
    if is_sharded(value):
        return value.full_tensor().cpu()  # one at a time: all of them may not fit on a device
    if isinstance(value, dict):
        return {name: whole(part) for name, part in value.items()}
    if isinstance(value, list):
        return [whole(part) for part in value]
    return value


def spread(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, sharded as `like` is."""
    if not is_sharded(like):
        return value
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = like.device_mesh, like.placements  # type: ignore[attr-defined]
    return distribute_tensor(value.to(mesh.device_type), mesh, placements)


def load_weights(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Load whole weights into a module, sharded or not."""
    own = module.state_dict()
    module.load_state_dict({name: spread(value, own[name]) for name, value in state.items()})


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load an optimiser's whole state, whichever way its weights are sharded."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    by_number = dict(zip(numbers, weights, strict=True))
    spread_out = {
        number: {
            name: spread(value, by_number[number])
            if isinstance(value, Tensor) and value.shape == by_number[number].shape
            else value
            for name, value in values.items()
        }
        for number, values in state["state"].items()
    }
    optimizer.load_state_dict(state | {"state": spread_out})
