"""What `scripts/parity.py` calls the same is called here, on a tiny untrained pipeline."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import parity
import pytest
import torch
from conftest import make_pipeline, picture
from PIL import Image

from ufc import UFCPipeline
from ufc.pipeline_output import PipelineOutput

TOP = Image.new("L", (16, 16), 0)  # the upper half is regenerated
TOP.paste(255, (0, 0, 16, 8))
STEPS_SEEN: list[int] = []
TOP_KNOWN = torch.full((1, 4, 4), 16)  # masked below
TOP_KNOWN[0, :2] = torch.arange(8).view(2, 4)


class Case(NamedTuple):
    """Arguments beside a prompt and four steps, and what the output has to be."""

    arguments: Callable[[UFCPipeline], dict[str, Any]]
    holds: Callable[[Any, PipelineOutput], bool]  # of it, and of the same call without them


def same_codes(out: PipelineOutput, plain: PipelineOutput) -> bool:
    return torch.equal(out.codes, plain.codes)


def other_codes(out: PipelineOutput, plain: PipelineOutput) -> bool:
    return not same_codes(out, plain)


def note(step: int, timestep: int, latents: torch.Tensor) -> None:
    STEPS_SEEN.append(step)


def words(pipe: UFCPipeline, prompt: str) -> torch.Tensor:
    return pipe.encode_prompt([prompt])


CALLS: dict[str, Case] = {
    "prompt": Case(lambda _: {"prompt": ["bag", "shirt"]}, lambda out, _: len(out.images) == 2),
    "image": Case(lambda _: {"image": torch.rand(1, 3, 16, 16)}, lambda out, _: out.steps == [2]),
    "mask_image": Case(
        lambda _: {"image": picture(3), "mask_image": TOP},
        lambda out, _: np.array_equal(np.array(out[0][0])[8:], np.array(picture(3))[8:]),
    ),
    "strength": Case(
        lambda _: {"image": picture(3), "strength": 0.25}, lambda out, _: out.steps == [1]
    ),
    "height": Case(
        lambda _: {"height": 24, "width": 16}, lambda out, _: out[0][0].size == (16, 24)
    ),
    "width": Case(lambda _: {"height": 16, "width": 24}, lambda out, _: out[0][0].size == (24, 16)),
    "num_inference_steps": Case(
        lambda _: {"num_inference_steps": 3}, lambda out, _: out.steps == [3]
    ),
    "guidance_scale": Case(lambda _: {"guidance_scale": 10.0}, other_codes),
    "negative_prompt": Case(lambda _: {"negative_prompt": "women's red bag"}, other_codes),
    "num_images_per_prompt": Case(
        lambda _: {"num_images_per_prompt": 2}, lambda out, _: len(out.images) == 2
    ),
    "generator": Case(lambda _: {"generator": torch.Generator().manual_seed(2)}, other_codes),
    "latents": Case(
        lambda _: {"latents": TOP_KNOWN},
        lambda out, _: out.codes.flatten().tolist()[:8] == list(range(8)),
    ),
    "prompt_embeds": Case(
        lambda pipe: {"prompt": None, "prompt_embeds": words(pipe, "bag")}, same_codes
    ),
    "negative_prompt_embeds": Case(
        lambda pipe: {"negative_prompt_embeds": words(pipe, "women's red bag")}, other_codes
    ),
    "output_type": Case(
        lambda _: {"output_type": "np"},
        lambda out, plain: (out.images[0] * 255).round().tolist() == np.array(plain[0][0]).tolist(),
    ),
    "return_dict": Case(
        lambda _: {"return_dict": False}, lambda out, _: isinstance(out, tuple) and len(out) == 1
    ),
    "callback": Case(lambda _: {"callback": note}, lambda *_: STEPS_SEEN == [0, 1, 2, 3]),
    "callback_steps": Case(
        lambda _: {"callback": note, "callback_steps": 2}, lambda *_: STEPS_SEEN == [0, 2]
    ),
}


def call(pipe: UFCPipeline, **arguments: Any) -> Any:
    start = torch.Generator().manual_seed(1)
    return pipe(**{"prompt": "bag", "num_inference_steps": 4, "generator": start} | arguments)


def test_there_is_a_call_for_each_row_of_the_table() -> None:
    judged = parity.JUDGED["call"].items()
    assert [name for name, (verdict, _) in judged if verdict == parity.SAME] == [
        name for name in parity.JUDGED["call"] if name in CALLS
    ]
    assert not CALLS.keys() - parity.JUDGED["call"].keys()


@pytest.mark.parametrize("name", CALLS)
def test_it_is_called_as_there(pipeline: UFCPipeline, name: str) -> None:
    STEPS_SEEN.clear()
    case = CALLS[name]
    plain = call(pipeline)
    assert case.holds(call(pipeline, **case.arguments(pipeline)), plain)


def test_the_pair_of_temperatures_is_told_its_name(pipeline: UFCPipeline) -> None:
    with pytest.raises(ValueError, match=r"temperature: got .* choice_temperature=2"):
        call(pipeline, temperature=(2, 0))


class TestMethods:
    @pytest.mark.parametrize("name", parity.METHODS)
    def test_what_is_there(self, pipeline: UFCPipeline, name: str) -> None:
        verdict, remark = parity.METHODS[name]
        if verdict == parity.SAME:
            assert hasattr(pipeline, name)
        else:
            assert remark, f"{name} wants a reason"
        if verdict == parity.NOT_HERE:
            assert not hasattr(pipeline, name), f"{name} is there, so it applies"

    def test_less_memory_under_familiar_names(self) -> None:
        pipe = make_pipeline()
        plain = call(pipe)
        for sparing, lavish in (
            (pipe.enable_attention_slicing, pipe.disable_attention_slicing),
            (pipe.enable_vae_slicing, pipe.disable_vae_slicing),
            (pipe.enable_vae_tiling, pipe.disable_vae_tiling),
            (
                pipe.enable_xformers_memory_efficient_attention,
                pipe.disable_xformers_memory_efficient_attention,
            ),
            (pipe.enable_model_cpu_offload, lambda: pipe.to(cpu_offload=False)),
            (pipe.enable_sequential_cpu_offload, lambda: pipe.to(cpu_offload=False)),
        ):
            sparing()
            assert same_codes(call(pipe), plain)
            lavish()
            assert same_codes(call(pipe), plain)
        pipe.enable_attention_slicing("max")
        pipe.enable_vae_slicing()
        assert pipe.low_mem and len(pipe.portions(torch.zeros(3, 1))) == 3
        pipe.disable_vae_slicing()
        assert len(pipe.portions(torch.zeros(3, 1))) == 1

    def test_which_device_and_which_attention(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pipe, told = make_pipeline(), []
        monkeypatch.setattr(
            UFCPipeline, "to", lambda self, *given, **more: told.append((*given, more))
        )
        pipe.enable_model_cpu_offload()
        pipe.enable_model_cpu_offload(gpu_id=1)
        pipe.enable_model_cpu_offload(device=torch.device("mps"))
        pipe.device = torch.device("cuda", 2)
        pipe.enable_sequential_cpu_offload()
        pipe.enable_xformers_memory_efficient_attention()
        pipe.disable_xformers_memory_efficient_attention()
        offload = {"cpu_offload": True}
        assert told == [
            ("auto", offload), ("cuda:1", offload), ("mps", offload), ("cuda:2", offload),
            ({"attention_backend": "xformers"},), ({"attention_backend": "sdpa"},),
        ]  # fmt: skip
        with pytest.raises(ValueError, match=r"gpu_id=1 and device='cuda:0'"):
            pipe.enable_model_cpu_offload(1, "cuda:0")
        with pytest.raises(ValueError, match="attention_op is 'flash'"):
            pipe.enable_xformers_memory_efficient_attention("flash")

    def test_another_pipeline_of_the_same_components(self) -> None:
        pipe = make_pipeline().to(low_mem=True)
        pipe.defaults["num_inference_steps"] = 3
        pipe.set_progress_bar_config(desc="bags", disable=False, file=io.StringIO())
        pipe.clip = pipe.contrastive = object()  # type: ignore[assignment]
        shared = UFCPipeline.from_pipe(pipe)
        assert shared.clip is pipe.clip and shared.contrastive is pipe.contrastive
        assert shared.progress_bar(total=1).desc.startswith("bags")
        assert shared.transformer is pipe.transformer and shared.tokenizer is pipe.tokenizer
        assert shared.low_mem and shared.name_or_path == "tiny"
        assert same_codes(shared("bag", seed=1), pipe("bag", seed=1))
        assert shared("bag", seed=1).steps == [3]
        half = UFCPipeline.from_pipe(pipe, torch_dtype=torch.bfloat16)
        assert half.precision == pipe.precision == "bf16" and half.dtype == torch.bfloat16
        other = make_pipeline().transformer
        assert UFCPipeline.from_pipe(pipe, transformer=other).transformer is other
        assert other.embedding.weight.dtype == torch.bfloat16
        with pytest.raises(TypeError, match="from_pipe got a str"):
            UFCPipeline.from_pipe("fashion")  # type: ignore[arg-type]
