"""What a metric of a set of pictures is, and the registry that `ufc evaluate` finds them in.

A new one is a file beside this with a subclass of `Metric` under `@register_metric`: its flag, its
lines in table and JSON, its row in reports and its check of what it needs derive from the class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

import estimators.metrics
from estimators.metrics.extractors.features import Features
from estimators.metrics.pairs.similarity import Perceptual

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from estimators.metrics.fid import Statistics

Need = Literal["real", "features", "logits", "pictures", "captions"]
NEEDS: tuple[Need, ...] = ("real", "features", "logits", "pictures", "captions")


class Contrastive(Protocol):
    """What ranks captions: pictures and texts as unit vectors of one space."""

    @property
    def name(self) -> str: ...

    def embed_images(self, pictures: Sequence[Image.Image]) -> Tensor: ...

    def embed_texts(self, texts: Sequence[str]) -> Tensor: ...


@dataclass(frozen=True)
class Options:
    """What metrics may load to judge by.

    Attributes:
        caption_column: `text` or `text_zh`, the language of the captions.
        contrastive: opens the estimator that ranks captions.
        perceptual: LPIPS; None loads it.
        clip_model, clip_checkpoint: open_clip's for English captions, Chinese-CLIP's for `text_zh`.
        device: where CLIP works: auto, cpu or cuda.
    """

    caption_column: str = "text"
    contrastive: Callable[[], Contrastive] | None = None
    perceptual: Perceptual | None = None
    clip_model: str | None = None
    clip_checkpoint: str | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class MeasuredSet:
    """A set of N pictures and what it is measured against; what no metric needs is None or empty.

    Attributes:
        features: Frechet features, (N F).
        real: Frechet features of the real pictures, (M F).
        statistics: mean and covariance that distances are to, where they are not those of `real`.
        logits: class logits, (N C).
        pictures: the pictures themselves, at the size that they are compared at.
        captions: one a picture, or None where some have none.
        seed: of subsets and pairs that are chosen at random.
        pairs: how many pairs of pictures are compared at most, of any two.
    """

    features: Features | None = None
    real: Features | None = None
    statistics: Statistics | None = None
    logits: Features | None = None
    pictures: Sequence[Image.Image] = ()
    captions: Sequence[str] | None = None
    seed: int = 0
    pairs: int = 500


class Metric(ABC):
    """A figure, or several that are taken together, of a set of pictures.

    Attributes:
        name: its flag, with underscores for dashes.
        help: of the flag; its row in the documentation.
        source: whose arithmetic it is, for the documentation.
        needs: what it is measured from; `real` comes as features too.
        higher_is_better: which way its figures go.
        usual: taken where no metric is chosen.
        from_statistics: mean and covariance will do for `real`.
        in_reports: taken for the report and the ablation too.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    source: ClassVar[str] = "own"
    needs: ClassVar[frozenset[Need]]
    higher_is_better: ClassVar[bool] = True
    usual: ClassVar[bool] = False
    from_statistics: ClassVar[bool] = False
    in_reports: ClassVar[bool] = True

    def load(self, options: Options) -> Any:
        """What it judges with, before anything is measured: it may not be there."""
        return None

    @abstractmethod
    def measure(self, given: MeasuredSet, judge: Any) -> dict[str, Any]:
        """Its figures by their names in JSON; `judge` is what `load` gave.

        An interval is `NAME_interval_95` (half its width), a spread `NAME_std`; text is shown in
        JSON alone.
        """


Class = TypeVar("Class", bound=type[Metric])
METRICS: dict[str, Metric] = {}


def register_metric(metric: Class) -> Class:
    """Make a metric known by its name.

    Raises:
        ValueError: it needs what there is not.
    """
    unknown = sorted(set(metric.needs) - set(NEEDS))
    if unknown:
        raise ValueError(f"metric {metric.name} needs {unknown}; choose from {', '.join(NEEDS)}")
    METRICS[metric.name] = metric()
    return metric


def find_metrics() -> dict[str, Metric]:
    """All metrics by name: first those that compare with real pictures, last those of captions."""
    for module in iter_modules(estimators.metrics.__path__):
        if not module.ispkg:
            import_module(f"estimators.metrics.{module.name}")
    return dict(sorted(METRICS.items(), key=lambda item: (_place(item[1]), item[0])))


def _place(metric: Metric) -> int:
    """How late what it needs is made: captions last, but real pictures before all."""
    if "real" in metric.needs:
        return 0
    return max((NEEDS.index(need) for need in metric.needs), default=0)


def metric_table() -> str:
    """All metrics as Markdown: flag, figure, whose arithmetic, and which way is better."""
    lines = ["| flag | figure | better | by |", "|---|---|---|---|"]
    for name, metric in find_metrics().items():
        way = "higher" if metric.higher_is_better else "lower"
        lines.append(f"| `--{name.replace('_', '-')}` | {metric.help} | {way} | {metric.source} |")
    return "\n".join(lines)
