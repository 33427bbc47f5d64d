"""How `UFCPipeline` takes what diffusers' pipelines of masked-token models take, as a table.

    python scripts/parity.py docs/diffusers.md

It asks the diffusers that is installed for every parameter of the constructor, `from_pretrained`
and the call of its text-to-image, image-to-image and inpainting pipelines (aMUSEd's), and stops at
one that nothing below judges. A test holds the table, and that what is called the same is there.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqgan.perceptual import import_torchvision

SAME, DIFFERS, NOT_HERE = "same", "differs", "does not apply"
PLACES = ("constructor", "from_pretrained", "call")
PIPELINES = {
    "text to image": "AmusedPipeline",
    "image to image": "AmusedImg2ImgPipeline",
    "inpainting": "AmusedInpaintPipeline",
}
VERSION = "0.42"  # the one that the page is written by
# Judged for older versions, which still have them.
OF_OLDER_VERSIONS = {("from_pretrained", "from_flax"), ("from_pretrained", "dduf_file")}
ONNX = "ONNX only; nothing here is exported to it"
WHOLE = "a model is one piece on one device, and nothing of it is put on a disk"
CODE = "`UFCPipeline` runs no code of a model's folder; `DiffusionPipeline` asks for it itself"

# What is said of each parameter; a verdict alone where nothing needs saying.
JUDGED: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "constructor": {
        "vqvae": (SAME, "also called `tokenizer`, the picture tokenizer"),
        "tokenizer": (DIFFERS, "words' tokenizer is called `text`; `tokenizer` is the pictures'"),
        "text_encoder": (NOT_HERE, "the transformer embeds words itself"),
        "transformer": (SAME, ""),
        "scheduler": (NOT_HERE, "the order of filling is a setting of the call, `order`"),
    },
    "from_pretrained": {
        "pretrained_model_name_or_path": (SAME, "also a bundled name; left out, the bundled model"),
        "cache_dir": (SAME, ""),
        "force_download": (SAME, ""),
        "proxies": (NOT_HERE, "huggingface_hub takes them from the environment (`HTTPS_PROXY`)"),
        "local_files_only": (SAME, ""),
        "token": (SAME, ""),
        "revision": (SAME, ""),
        "torch_dtype": (SAME, "also names, `int8` and `auto` (if left out); pictures are decoded "
                        "in float32"),
        "dtype": (SAME, "as `torch_dtype`"),
        "custom_pipeline": (NOT_HERE, CODE),
        "custom_revision": (NOT_HERE, CODE),
        "trust_remote_code": (NOT_HERE, CODE),
        "provider": (NOT_HERE, ONNX),
        "sess_options": (NOT_HERE, ONNX),
        "provider_options": (NOT_HERE, ONNX),
        "use_onnx": (NOT_HERE, ONNX),
        "from_flax": (NOT_HERE, "there are no Flax weights"),
        "dduf_file": (NOT_HERE, "another file format"),
        "device_map": (SAME, "`balanced` is the best device"),
        "max_memory": (NOT_HERE, WHOLE),
        "offload_folder": (NOT_HERE, WHOLE),
        "offload_state_dict": (NOT_HERE, WHOLE),
        "low_cpu_mem_usage": (SAME, "makes no difference to be seen"),
        "variant": (SAME, ""),
        "use_safetensors": (SAME, "False is an error, as it is where there are only safetensors"),
        "load_connected_pipeline": (NOT_HERE, "a model is one pipeline"),
        "quantization_config": (DIFFERS, "`dtype=\"int8\"` is the one quantisation there is"),
        "use_flashpack": (NOT_HERE, "another file format"),
        "disable_mmap": (SAME, ""),
    },
    "call": {
        "prompt": (SAME, ""),
        "image": (SAME, "not latents: those are `codes` or `latents`"),
        "mask_image": (SAME, "`invert_mask=True` for the other way round"),
        "strength": (SAME, "to be given where all of an image is changed; also in a mask's area a "
                     "share of the codes stays"),
        "height": (SAME, ""),
        "width": (SAME, ""),
        "num_inference_steps": (SAME, "left out, the model's own default"),
        "guidance_scale": (SAME, "left out, the model's own default"),
        "negative_prompt": (SAME, ""),
        "num_images_per_prompt": (SAME, ""),
        "generator": (SAME, "or `seed`"),
        "latents": (SAME, "what is no code is masked"),
        "prompt_embeds": (SAME, "vectors of the words, (B, T, D), by `encode_prompt`"),
        "encoder_hidden_states": (NOT_HERE, "a text encoder's; `prompt_embeds` are all there is"),
        "negative_prompt_embeds": (SAME, ""),
        "negative_encoder_hidden_states": (NOT_HERE, "as `encoder_hidden_states`"),
        "output_type": (SAME, "`pil`, `np`, `pt` and `latent`; also `uint8` and `codes`"),
        "return_dict": (SAME, ""),
        "callback": (SAME, ""),
        "callback_steps": (SAME, ""),
        "cross_attention_kwargs": (NOT_HERE, "there is no cross attention, nor processors of it"),
        "micro_conditioning_aesthetic_score": (NOT_HERE, "the model is not conditioned on it"),
        "micro_conditioning_crop_coord": (NOT_HERE, "the model is not conditioned on it"),
        "temperature": (DIFFERS, "that of the sampled codes; the noise by which places are chosen, "
                        "falling to 0, is `choice_temperature`"),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One parameter of diffusers' pipelines."""

    place: str
    name: str
    pipelines: tuple[str, ...]
    verdict: str
    remark: str


def rows() -> list[Row]:
    """The table's rows, in diffusers' order.

    Raises:
        ImportError: diffusers or transformers is not installed.
        KeyError: a parameter that is not judged.
    """
    return [
        Row(place, name, users, *JUDGED[place][name])
        for place in PLACES
        for name, users in parameters(place).items()
    ]


def parameters(place: str) -> dict[str, tuple[str, ...]]:
    """Names of diffusers' parameters, each with the pipelines that have it."""
    diffusers = import_diffusers()
    found: dict[str, tuple[str, ...]] = {}
    for label, name in PIPELINES.items():
        kind = getattr(diffusers, name)
        if place == "from_pretrained":
            names: Iterator[str] = read_keywords(kind.from_pretrained)
        else:
            function = kind.__init__ if place == "constructor" else kind.__call__
            names = (one for one in inspect.signature(function).parameters if one != "self")
        for one in names:
            found[one] = (*found.get(one, ()), label)
    return found


def read_keywords(function: Any) -> Iterator[str]:
    """Named parameters of a function, and those that it takes out of its `kwargs`."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    yield from (
        name for name in inspect.signature(function).parameters if name not in ("cls", "kwargs")
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "kwargs.pop" and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant):
                yield str(first.value)


def import_diffusers() -> Any:
    """diffusers; where torchvision's operators cannot be loaded they are declared first."""
    with suppress(ImportError):
        import_torchvision()
    import diffusers

    return diffusers


def share_of_same(found: list[Row]) -> float:
    """How many of the rows that apply are the same, 0..1."""
    apply = [row for row in found if row.verdict != NOT_HERE]
    return sum(row.verdict == SAME for row in apply) / len(apply)


def table(found: list[Row]) -> str:
    """The rows as Markdown, a table for each place."""
    titles = {"constructor": "Constructor", "from_pretrained": "`from_pretrained`", "call": "Call"}
    parts = []
    for place in PLACES:
        parts += [f"## {titles[place]}\n", "| parameter | of | | remark |", "|---|---|---|---|"]
        for row in (one for one in found if one.place == place):
            users = "all" if len(row.pipelines) == len(PIPELINES) else ", ".join(row.pipelines)
            parts.append(f"| `{row.name}` | {users} | {row.verdict} | {row.remark} |")
        parts.append("")
    return "\n".join(parts)


def page(found: list[Row]) -> str:
    """The whole page."""
    counts = {one: sum(row.verdict == one for row in found) for one in (SAME, DIFFERS, NOT_HERE)}
    apply = counts[SAME] + counts[DIFFERS]
    head = HEAD.format(version=VERSION, same=counts[SAME], apply=apply, none=counts[NOT_HERE])
    return f"{head}\n{table(found)}"


HEAD = """# Coming from diffusers

`UFCPipeline` is called as diffusers' pipelines are: `from_pretrained`, `to`, `components`,
`config`, `save_pretrained`, `push_to_hub`, `set_progress_bar_config`, `output.images` or
`output[0]`, `callback_on_step_end` with its `callback_on_step_end_tensor_inputs`, and adapters by
`load_lora_weights`, `set_adapters` and `fuse_lora`. What `fuse_lora` added is taken out again by
`load_lora_weights`, `set_adapters`, `enable_lora`, `disable_lora`, `delete_adapters` and another
`fuse_lora`; `unload_lora_weights` right after fusing makes it stay.

```python
import torch
from ufc import UFCPipeline

pipe = UFCPipeline.from_pretrained("fashion-192x256", torch_dtype=torch.float32)
image = pipe("women's red handbag", num_inference_steps=12).images[0]
other = pipe("women's blue handbag", image, strength=0.6)[0][0]
```

A folder that `save_pretrained` wrote, or a repository that `push_to_hub` filled, is loaded by
diffusers too, where this program is installed: `DiffusionPipeline.from_pretrained(folder,
trust_remote_code=True)`, or with `custom_pipeline=folder`. Components are exchanged by
`UFCPipeline.from_pretrained(folder, transformer=…)`, which `DiffusionPipeline` cannot do with
classes that are not its own. Prompt, image and mask may be given by their place, in this order; all
else by name.

The tables have every parameter of diffusers' pipelines of masked-token models (aMUSEd: text to
image, image to image, inpainting), as `python scripts/parity.py docs/diffusers.md` finds them in
diffusers {version}. "Same" takes the values that it takes there, with the same meaning; defaults
may be the model's own. {same} of the {apply} parameters that apply are the same; {none} do not
apply.
"""


def writes_the_page() -> bool:
    """Whether the diffusers that is installed is the one that the page is written by."""
    return str(import_diffusers().__version__).startswith(f"{VERSION}.")


def main(arguments: list[str]) -> int:
    """Write the page to a file, or print it."""
    text = page(rows())
    if arguments:
        Path(arguments[0]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
