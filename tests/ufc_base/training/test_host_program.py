"""A training beside a program that uses accelerate for itself; mixed precision; many processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from ufc_base.training.processes import Engine

ROOT = Path(__file__).parents[3]

HOST = """
import torch
from accelerate import Accelerator
from torch import nn
from ufc_base.training.processes import Engine

def product(engine):
    layer = nn.Linear(256, 256)
    run = engine.prepare(layer, torch.optim.SGD(layer.parameters()))
    x = torch.randn(4, 256)
    low = torch.nn.functional.linear(x.bfloat16(), layer.weight.bfloat16(), layer.bias.bfloat16())
    full = torch.nn.functional.linear(x, layer.weight, layer.bias)
    out = run(x)
    assert out.dtype == torch.float32
    return torch.equal(out, full), torch.equal(out, low.float())

assert product(Engine("cpu", "no")) == (True, False)  # a training, before the host has begun
host = Accelerator(cpu=True, mixed_precision="bf16")
assert product(Engine("cpu", "no")) == (True, False)
assert product(Engine("cpu", "bf16")) == (False, True)
assert host.mixed_precision == Accelerator().mixed_precision == "bf16"
with host.autocast():
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
layer = host.prepare(nn.Linear(2, 2))
assert host.unwrap_model(layer) is not None
print(host.num_processes, host.distributed_type.value)
"""

SHARDED = """
import atexit
import torch.distributed

# Or gloo's threads may still run when the process ends.
atexit.register(torch.distributed.destroy_process_group)

import torch
from torch import nn
from accelerate import Accelerator
from ufc_base.training.processes import Engine, whole

class Block(nn.Linear):
    pass

host = Accelerator(cpu=True, mixed_precision="no")
for sharding in ("fsdp", "ddp"):
    torch.manual_seed(0)
    model = nn.Sequential(Block(8, 8), nn.Linear(8, 2))
    engine = Engine("cpu", "bf16", sharding, blocks=("Block",))
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    run = engine.prepare(model, optimizer)
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    for step in range(2):
        optimizer.zero_grad()
        out = run(x[engine.slice(4)])
        assert out.dtype == torch.float32
        engine.backward(out.square().mean())
        assert engine.finite(engine.clip(model.parameters()))
        optimizer.step()
    state = whole(model.state_dict())
    assert all(value.dtype == torch.float32 for value in state.values())
    told = engine.most(float(engine.ranks.rank), 5.0 - engine.ranks.rank)
    spoilt = torch.tensor(torch.nan if engine.ranks.rank else 0.0)
    if engine.first:
        print(sharding, *(round(float(v.sum()), 2) for v in state.values()), told,
              engine.finite(spoilt))
    else:
        engine.finite(spoilt)
assert host.mixed_precision == "no" and host.num_processes == 2

import os, signal, sys
from ufc_base.settings import LoopSettings
from ufc_base.training.checkpoints import Checkpoints
from ufc_base.training.loop import train
from ufc_base.training.stopping import Stopped

class Toy:
    step = 0

    def __call__(self, step):
        pass

    def train_step(self, batch, progress):
        self.step += 1
        if self.step == 3 and not engine.first:
            os.kill(os.getpid(), signal.SIGTERM)
        return {"loss": torch.tensor(1.0)}

    def state_dict(self):
        return {"step": self.step}

settings = LoopSettings(output_dir=sys.argv[1], max_train_steps=9, device="cpu")
try:
    train(Toy(), Toy(), settings, engine, lambda log: None)
except Stopped as stopped:
    assert "after step 3 of 9" in str(stopped)
    sys.exit(stopped.code)
"""


def run(program: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_host_program_keeps_its_own_accelerator() -> None:
    host = run(HOST)
    said, error = host.communicate(timeout=120)
    assert host.returncode == 0, error
    assert said.split() == ["1", "NO"]


def test_two_processes_shard_in_bf16_beside_a_host_and_stop_together(
    free_port: int, tmp_path: Path
) -> None:
    each = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    both = [
        run(
            SHARDED,
            str(tmp_path),
            RANK=str(n),
            LOCAL_RANK=str(n),
            MASTER_PORT=str(free_port),
            **each,
        )
        for n in range(2)
    ]
    told = [one.communicate(timeout=120) for one in both]
    # gloo may abort the process whose peer has left before it, after all is written.
    codes = [one.returncode for one in both]
    assert codes[0] == 143 and codes[1] in (143, -signal.SIGABRT), told
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-3"]
    fsdp, ddp = (line.split(maxsplit=1) for line in told[0][0].splitlines())
    assert (fsdp[0], ddp[0]) == ("fsdp", "ddp")
    assert fsdp[1] == ddp[1] and fsdp[1].endswith("[1.0, 5.0] False")


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_one_process_alone_agrees_with_itself() -> None:
    engine = Engine("cpu")
    assert engine.most(0.5, 2) == [0.5, 2]
    assert engine.finite(torch.tensor(1.0), torch.tensor(-2.0))
    assert not engine.finite(torch.tensor(1.0), torch.tensor(torch.inf))
    layer = nn.Linear(2, 2)
    assert engine.prepare(layer, torch.optim.SGD(layer.parameters())) is layer
