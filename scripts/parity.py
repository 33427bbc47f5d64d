"""How `UFCPipeline` takes what diffusers' pipelines of masked-token models take, as a table.

    python scripts/parity.py docs/diffusers.md

It asks the diffusers that is installed for every parameter of the constructor, `from_pretrained`
and the call of its text-to-image, image-to-image and inpainting pipelines (aMUSEd's), and for every
method of a pipeline, and stops at one that nothing below judges. A test holds the tables, and that
what is called the same is there.
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
        "strength": (SAME, "that share of the codes is new, of all or of a mask's area; there "
                     "it is the schedule's, 0.71 at 0.5"),
        "height": (SAME, ""),
        "width": (SAME, ""),
        "num_inference_steps": (SAME, "left out, the model's own default"),
        "guidance_scale": (SAME, "left out, the model's own default"),
        "negative_prompt": (SAME, ""),
        "num_images_per_prompt": (SAME, ""),
        "generator": (SAME, "or `seed`"),
        "latents": (SAME, "what is no code is masked"),
        "prompt_embeds": (SAME, "what `encode_prompt` gives, (B, T, D) as of most pipelines; "
                          "aMUSEd's is one pooled vector beside `encoder_hidden_states`"),
        "encoder_hidden_states": (NOT_HERE, "a text encoder's; `prompt_embeds` are all there is"),
        "negative_prompt_embeds": (SAME, "as `prompt_embeds`"),
        "negative_encoder_hidden_states": (NOT_HERE, "as `encoder_hidden_states`"),
        "output_type": (SAME, "`pil`, `np`, `pt` and `latent`; also `uint8` and `codes`"),
        "return_dict": (SAME, ""),
        "callback": (SAME, "its timestep is the step again, there it counts down"),
        "callback_steps": (SAME, ""),
        "cross_attention_kwargs": (NOT_HERE, "there is no cross attention, nor processors of it"),
        "micro_conditioning_aesthetic_score": (NOT_HERE, "the model is not conditioned on it"),
        "micro_conditioning_crop_coord": (NOT_HERE, "the model is not conditioned on it"),
        "temperature": (DIFFERS, "that of the sampled codes; the noise by which places are chosen, "
                        "falling to 0, is `choice_temperature`: 2 for the pair (2, 0)"),
    },
}  # fmt: skip

# What is said of each method and property of a pipeline.
INNER = "for diffusers' own use"
UNET = "of UNets"
ONE = "queries, keys and values are one projection already"
METHODS: Mapping[str, tuple[str, str]] = {
    "register_modules": (NOT_HERE, INNER),
    "save_pretrained": (SAME, ""),
    "to": (SAME, "also `attention_backend`, `compile`, `low_mem`, `cpu_offload`, `deterministic`"),
    "device": (SAME, ""),
    "dtype": (SAME, ""),
    "from_pretrained": (SAME, "see above"),
    "name_or_path": (SAME, "the name that pictures record"),
    "remove_all_hooks": (DIFFERS, "`to(cpu_offload=False)`"),
    "enable_model_cpu_offload": (SAME, "nothing to do without a GPU, where diffusers raises"),
    "maybe_free_model_hooks": (NOT_HERE, "a component leaves the GPU when its work is done"),
    "enable_sequential_cpu_offload": (DIFFERS, "as `enable_model_cpu_offload`, by component"),
    "enable_group_offload": (NOT_HERE, "a component is small enough to be moved whole"),
    "reset_device_map": (NOT_HERE, WHOLE),
    "download": (DIFFERS, "`ufc.io.hub.resolve_model` finds or fetches a model's folder"),
    "parameters": (DIFFERS, "`from_pipe` takes the default settings over"),
    "components": (SAME, ""),
    "numpy_to_pil": (DIFFERS, "`output_type=\"pil\"`"),
    "progress_bar": (SAME, ""),
    "set_progress_bar_config": (SAME, ""),
    "enable_xformers_memory_efficient_attention": (SAME, "torch's own attention, and a warning, "
                                                   "where xformers cannot run"),
    "disable_xformers_memory_efficient_attention": (SAME, ""),
    "set_use_memory_efficient_attention_xformers": (DIFFERS, "`to(attention_backend=…)`"),
    "enable_attention_slicing": (SAME, "nothing to do: scores of a few hundred blocks are small"),
    "disable_attention_slicing": (SAME, "nothing to do"),
    "set_attention_slice": (NOT_HERE, "nothing is sliced"),
    "from_pipe": (SAME, "precision stays where none is given"),
    "push_to_hub": (DIFFERS, "a whole repository, of safetensors: no `subfolder`, no pickles"),
    "enable_freeu": (NOT_HERE, UNET),
    "disable_freeu": (NOT_HERE, UNET),
    "fuse_qkv_projections": (NOT_HERE, ONE),
    "unfuse_qkv_projections": (NOT_HERE, ONE),
    "lora_scale": (DIFFERS, "weights of `set_adapters`, and `lora_scale` of `fuse_lora`"),
    "num_fused_loras": (NOT_HERE, INNER),
    "fused_loras": (NOT_HERE, INNER),
    "load_lora_weights": (SAME, ""),
    "save_lora_weights": (DIFFERS, "of a pipeline: writes an adapter that it has"),
    "lora_state_dict": (NOT_HERE, INNER),
    "unload_lora_weights": (SAME, ""),
    "fuse_lora": (DIFFERS, "no `components`, it is the transformer; a sum that is not finite is "
                  "always refused"),
    "unfuse_lora": (DIFFERS, "no `components`"),
    "set_adapters": (SAME, ""),
    "disable_lora": (SAME, ""),
    "enable_lora": (SAME, ""),
    "delete_adapters": (SAME, ""),
    "get_active_adapters": (SAME, ""),
    "get_list_adapters": (SAME, ""),
    "set_lora_device": (NOT_HERE, "an adapter is where its layers are"),
    "enable_lora_hotswap": (NOT_HERE, "a compiled pass is written anew"),
    "pack_weights": (NOT_HERE, INNER),
    "write_lora_layers": (NOT_HERE, INNER),
    "enable_vae_slicing": (SAME, "encodes and decodes picture by picture: `to(low_mem=True)`"),
    "disable_vae_slicing": (SAME, ""),
    "enable_vae_tiling": (SAME, "nothing to do: a picture is as small as a tile"),
    "disable_vae_tiling": (SAME, "nothing to do"),
}  # fmt: skip
# Methods that diffusers has had, and that are still called.
EARLIER = (
    "enable_vae_slicing", "disable_vae_slicing", "enable_vae_tiling", "disable_vae_tiling",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One parameter of diffusers' pipelines, or a method of theirs."""

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


def method_rows() -> list[Row]:
    """The rows of methods and properties; raises as `rows` does."""
    return [Row("methods", name, users, *METHODS[name]) for name, users in methods().items()]


def methods() -> dict[str, tuple[str, ...]]:
    """Names of what may be called or read of diffusers' pipelines, each with who has it."""
    diffusers = import_diffusers()
    classes = (
        ("all", diffusers.DiffusionPipeline),
        ("all", diffusers.utils.PushToHubMixin),
        ("Stable Diffusion", diffusers.pipelines.pipeline_utils.StableDiffusionMixin),
        ("with adapters", diffusers.loaders.lora_base.LoraBaseMixin),
    )
    found: dict[str, tuple[str, ...]] = {}
    for label, kind in classes:
        for name, value in vars(kind).items():
            if not name.startswith("_") and not isinstance(value, str | None):
                found.setdefault(name, (label,))
    return found | {name: ("earlier versions",) for name in EARLIER if name not in found}


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


def table(found: list[Row], title: str, first: str) -> str:
    """Rows as a Markdown table under a heading."""
    parts = [f"## {title}\n", f"| {first} | of | | remark |", "|---|---|---|---|"]
    for row in found:
        users = "all" if len(row.pipelines) == len(PIPELINES) else ", ".join(row.pipelines)
        parts.append(f"| `{row.name}` | {users} | {row.verdict} | {row.remark} |")
    return "\n".join([*parts, ""])


def page(found: list[Row], methods: list[Row]) -> str:
    """The whole page, of the rows of parameters and of methods."""
    counts = {one: sum(row.verdict == one for row in found) for one in (SAME, DIFFERS, NOT_HERE)}
    apply = counts[SAME] + counts[DIFFERS]
    head = HEAD.format(version=VERSION, same=counts[SAME], apply=apply, none=counts[NOT_HERE])
    titles = {"constructor": "Constructor", "from_pretrained": "`from_pretrained`", "call": "Call"}
    tables = [
        table([row for row in found if row.place == place], titles[place], "parameter")
        for place in PLACES
    ]
    return "\n".join([head, *tables, table(methods, "Methods", "method or property")])


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

The first tables have every parameter of diffusers' pipelines of masked-token models (aMUSEd: text
to image, image to image, inpainting), as `python scripts/parity.py docs/diffusers.md` finds them in
diffusers {version}. "Same" takes the values that it takes there, with the same meaning; defaults,
codes and vectors of words are the model's own. {same} of the {apply} parameters that apply are the
same; {none} do not apply. The last table has what pipelines are told beside being called.
"""


def writes_the_page() -> bool:
    """Whether the diffusers that is installed is the one that the page is written by."""
    return str(import_diffusers().__version__).startswith(f"{VERSION}.")


def main(arguments: list[str]) -> int:
    """Write the page to a file, or print it."""
    text = page(rows(), method_rows())
    if arguments:
        Path(arguments[0]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
