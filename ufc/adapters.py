"""Low-rank adapters (LoRA, Hu et al. 2021) in the transformer's blocks, by PEFT.

An adapter adds a product of two thin matrices to the linear layers of every block. It is a file of
its own, which says itself what it is: `pytorch_lora_weights.safetensors`, as diffusers lays it out.

The fused arithmetic of a block steps back where a layer is adapted, and comes back once adapters
are fused and unloaded (`fuse`, `unload`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ufc.model.transformer import UFCTransformer
from ufc_base.checkpoint import CheckpointError, read_safetensors, refuse_not_finite, some
from ufc_base.formats.json_text import load_json

WEIGHTS = "pytorch_lora_weights.safetensors"
METADATA = "lora_adapter_metadata"  # in the file's header
PREFIX = "transformer."  # of the weights' names in a file
LAYERS = ("qkv", "out", "gate_up", "down")
DEFAULT = "default"
MOST_RANK = 1024


def import_peft() -> Any:
    """PEFT; where torchvision's operators cannot be loaded they are declared first.

    Raises:
        ImportError: it is not installed.
    """
    with suppress(ImportError):  # transformers, which PEFT imports, imports it
        from vqgan.perceptual import import_torchvision

        import_torchvision()
    import peft

    return peft


def add_adapter(
    model: UFCTransformer,
    rank: int,
    alpha: float | None = None,
    layers: Sequence[str] = LAYERS,
    name: str = DEFAULT,
) -> None:
    """Give the blocks' linear layers an adapter that changes nothing yet; it alone learns then.

    Args:
        model: the transformer, changed in place.
        rank: columns of the thin matrices.
        alpha: what is added is scaled by alpha / rank; alpha is the rank if left out.
        layers: which layers of a block, of `LAYERS`.
        name: the adapter's.

    Raises:
        ValueError: an unknown layer, a name that is taken, a rank out of range.
    """
    unknown = [layer for layer in layers if layer not in LAYERS]
    if unknown or not layers:
        raise ValueError(f"lora layers: got {list(layers)}, wanted some of {', '.join(LAYERS)}")
    if not 1 <= rank <= MOST_RANK:
        raise ValueError(f"lora rank: got {rank}, wanted 1 to {MOST_RANK}")
    config = {
        "r": rank,
        "lora_alpha": rank if alpha is None else alpha,
        "target_modules": rf"blocks\.\d+\.({'|'.join(layers)})",
    }
    inject(model, config, name)


def inject(model: UFCTransformer, config: Mapping[str, Any], name: str) -> None:
    """Put the layers of an adapter into the model, by PEFT's config of it."""
    peft = import_peft()
    check_name(model, name)
    settings = peft.LoraConfig(**config)
    peft.inject_adapter_in_model(settings, model, adapter_name=name)


def check_name(model: UFCTransformer, name: str) -> None:
    """Raise `ValueError` for a name that is none, or that an adapter has already."""
    if not name.replace("-", "_").isidentifier():
        raise ValueError(f"adapter name {name!r:.60}: wanted letters, digits, - and _")
    if name in adapter_names(model):
        raise ValueError(
            f"there is an adapter {name!r} already: give another adapter_name, or delete it first"
        )


def adapted_layers(model: nn.Module) -> Iterator[tuple[nn.Module, str, Any]]:
    """Layers with adapters: the module that each is in, its name there, and itself."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if hasattr(child, "base_layer") and hasattr(child, "lora_A"):
                yield parent, name, child


def adapter_names(model: nn.Module) -> list[str]:
    """Names of the adapters, in the order in which they came."""
    names = (name for _, _, layer in adapted_layers(model) for name in layer.lora_A)
    return list(dict.fromkeys(names))


def active_adapters(model: nn.Module) -> list[str]:
    """Names of those that are at work."""
    layers = [layer for _, _, layer in adapted_layers(model) if not layer.disable_adapters]
    return list(dict.fromkeys(name for layer in layers for name in layer.active_adapters))


def chosen_adapters(model: nn.Module) -> list[str]:
    """Names of those that are at work, or would be if none were left aside."""
    layers = [layer for _, _, layer in adapted_layers(model)]
    return list(dict.fromkeys(name for layer in layers for name in layer.active_adapters))


def are_aside(model: nn.Module) -> bool:
    return any(layer.disable_adapters for _, _, layer in adapted_layers(model))


def set_active(model: nn.Module, names: Sequence[str], weights: Sequence[float]) -> None:
    """Have these adapters at work and no others, each with its weight; 1 is as it learnt.

    What was fused is taken out.

    Raises:
        ValueError: one that there is not, or weights for others.
    """
    check_known(model, names)
    if len(weights) != len(names):
        raise ValueError(f"got {len(names)} adapters and {len(weights)} weights: give one each")
    for _, _, layer in adapted_layers(model):
        take_out(layer)  # by what it was put in with
        layer.enable_adapters(True)
        layer.set_adapter(list(names))
        for name, weight in zip(names, weights, strict=True):
            layer.set_scale(name, weight)
    model.requires_grad_(False)


def check_known(model: nn.Module, names: Sequence[str]) -> None:
    """Raise `ValueError` for adapters that there are not."""
    known = adapter_names(model)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(
            f"there is no adapter {', '.join(map(repr, unknown))}; "
            f"there are {', '.join(map(repr, known)) or 'none'}"
        )


def enable(model: nn.Module, enabled: bool) -> None:
    """Have adapters at work, or leave them aside; what was fused is taken out."""
    for _, _, layer in adapted_layers(model):
        take_out(layer)
        layer.enable_adapters(enabled)
    model.requires_grad_(False)


def fuse(model: nn.Module, scale: float = 1.0, names: Sequence[str] | None = None) -> None:
    """Add the adapters that are at work, or these, to the layers' own weights, `scale` times.

    What an earlier call has added is taken out.

    Raises:
        CheckpointError: a sum is not finite; nothing is added then.
        ValueError: an adapter that there is not.
    """
    check_known(model, names or ())
    done = []
    try:
        for _, _, layer in adapted_layers(model):
            take_out(layer)
            fused = [one for one in names or layer.active_adapters if one in layer.lora_A]
            layer.scaling_unfused = dict(layer.scaling)
            done.append(layer)
            for one in fused:
                layer.scaling[one] *= scale
            if fused:
                layer.merge(safe_merge=True, adapter_names=fused)
    except ValueError as error:
        for layer in done:
            take_out(layer)
        raise CheckpointError(f"the adapters cannot be fused: {error!s:.300}") from error


def unfuse(model: nn.Module) -> None:
    """Take out again what `fuse` has added, to rounding."""
    for _, _, layer in adapted_layers(model):
        take_out(layer)


def take_out(layer: Any) -> None:
    """Take out of a layer what was fused into it; its adapters weigh what they did before."""
    if layer.merged:
        layer.unmerge()
    layer.scaling.update(getattr(layer, "scaling_unfused", None) or {})
    layer.scaling_unfused = None


def unload(model: nn.Module) -> None:
    """Take the adapters off; what was fused stays."""
    for parent, name, layer in adapted_layers(model):
        setattr(parent, name, layer.get_base_layer())
    if hasattr(model, "peft_config"):
        del model.peft_config
    model.requires_grad_(False)


def delete(model: nn.Module, names: Sequence[str]) -> None:
    """Take these adapters off; `unload` where none is left. What was fused is taken out.

    Raises:
        ValueError: one that there is not.
    """
    check_known(model, names)
    unfuse(model)
    working = [name for name in chosen_adapters(model) if name not in names]
    weights, aside = [weight_of(model, name) for name in working], are_aside(model)
    for name in names:
        for _, _, layer in adapted_layers(model):
            layer.delete_adapter(name)
        getattr(model, "peft_config", {}).pop(name, None)
    if not adapter_names(model):
        unload(model)
        return
    set_active(model, working, weights)  # PEFT would have another take the place
    enable(model, not aside)


def save_adapter(model: UFCTransformer, folder: Path, name: str = DEFAULT) -> Path:
    """Write an adapter's weights into a folder; returns the file.

    Raises:
        ValueError: there is no such adapter.
    """
    from safetensors.torch import save_file

    from ufc_base.files import whole_file

    check_known(model, [name])
    state = {
        PREFIX + key.removesuffix(f".{name}.weight") + ".weight": value.float().cpu().contiguous()
        for key, value in model.state_dict().items()
        if is_of(key, name)
    }
    configs: Any = model.peft_config  # by PEFT
    config = configs[name]
    said = {
        "r": config.r,
        "lora_alpha": config.lora_alpha,
        "target_modules": sorted({key.split(".lora_")[0].removeprefix(PREFIX) for key in state}),
        "peft_type": "LORA",
    }
    told = {f"{PREFIX}{key}": value for key, value in said.items()}
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / WEIGHTS) as partial:
        save_file(state, partial, {"format": "pt", METADATA: json.dumps(told)})
    return folder / WEIGHTS


def read_adapter(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights of an adapter's file, and what it says of itself.

    Raises:
        CheckpointError: it is missing, damaged, or none.
    """
    from safetensors import safe_open

    state = read_safetensors(path)
    refuse_not_finite(state, path)
    with safe_open(path, "pt") as file:
        told = (file.metadata() or {}).get(METADATA, "{}")
    try:
        said = load_json(told)
    except ValueError as error:
        raise CheckpointError(f"{path}: what it says of its adapter is no JSON ({error})") from None
    if not isinstance(said, dict):
        raise CheckpointError(f"{path}: what it says of its adapter is no JSON object")
    return state, said


@torch.no_grad()
def load_adapter(
    model: UFCTransformer,
    state: Mapping[str, Tensor],
    said: Mapping[str, Any],
    name: str = DEFAULT,
    where: str = "the adapter",
) -> None:
    """Put an adapter's weights into the model, at work beside those that are.

    Where it does not say its rank and alpha, they are what the shapes say.

    Raises:
        CheckpointError: it is of another model, or none.
        ValueError: the name is taken.
    """
    own = {
        key.removeprefix(PREFIX).removeprefix("base_model.model."): value
        for key, value in state.items()
    }
    ranks = ranks_of(own)
    layers = sorted({key.rpartition(".lora_")[0] for key in own})
    known = {f"blocks.{block}.{layer}" for block in range(model.config.depth) for layer in LAYERS}
    strange = [layer for layer in layers if layer not in known]
    if len(ranks) != 1 or strange or not 1 <= ranks[0] <= MOST_RANK:
        raise CheckpointError(
            f"{where} is no adapter of this model: it has ranks {ranks[:12]}, wanted one from 1 to "
            f"{MOST_RANK}, and layers {some(strange)} that are not the transformer's"
        )
    rank, alpha = ranks[0], said.get(f"{PREFIX}lora_alpha")
    if alpha is not None and not (isinstance(alpha, int | float) and 0 < alpha < 2**20):
        raise CheckpointError(f"{where} says alpha is {alpha!r:.40}, wanted a number above 0")
    working, aside = chosen_adapters(model), are_aside(model)
    scales = [weight_of(model, one) for one in working]
    inject(model, {"r": rank, "lora_alpha": alpha or rank, "target_modules": layers}, name)
    placed = model.state_dict()
    wanted = {key.replace(".weight", f".{name}.weight"): value for key, value in own.items()}
    slots = {key for key in placed if is_of(key, name)}
    wrong = [
        key
        for key in sorted(slots | set(wanted))
        if key not in wanted or key not in slots or placed[key].shape != wanted[key].shape
    ]
    if wrong:
        delete(model, [name])
        if adapter_names(model):
            set_active(model, working, scales)
            enable(model, not aside)
        raise CheckpointError(f"{where} does not fit this model: {some(wrong)}")
    for key, value in wanted.items():
        placed[key].copy_(value)
    set_active(model, [*working, name], [*scales, 1.0])


def ranks_of(weights: Mapping[str, Tensor]) -> list[int]:
    """Every rank that thin matrices have; 0 for what is none."""
    thin = (value for key, value in weights.items() if key.endswith(".lora_A.weight"))
    return sorted({value.shape[0] if value.ndim else 0 for value in thin})


def is_of(key: str, name: str) -> bool:
    """Whether a weight of the model's is an adapter's."""
    return key.endswith((f".lora_A.{name}.weight", f".lora_B.{name}.weight"))


def weight_of(model: nn.Module, name: str) -> float:
    """The weight that an adapter is at work with."""
    for _, _, layer in adapted_layers(model):
        if name in layer.scaling:
            return float(layer.scaling[name] * layer.r[name] / layer.lora_alpha[name])
    return 1.0
