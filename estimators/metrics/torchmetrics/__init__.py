"""The figures of this program as `torchmetrics.Metric`s, to be measured while something else runs.

    fid = FrechetDistance(Measuring(load_extractor("inception")))
    fid.update(photographs, real=True)
    fid.update(generated, real=False)
    fid.compute()

Pictures are uint8 (B, 3, H, W), or with `normalize=True` float 0..1, as torchmetrics' own take
them. What is measured is what this program's commands measure, by the same code. Several processes
are brought together as torchmetrics does it: each must then have taken in pictures, and where the
pictures themselves are kept (`LpipsDiversity`, `RPrecision`, `ClipScore`) they are all of one size.
"""

from vqgan.perceptual import import_torchvision

import_torchvision()  # of which torchmetrics imports a part, and which may want help

from estimators.metrics.torchmetrics.controls import AttributesSeen, ColourTakenUp  # noqa: E402
from estimators.metrics.torchmetrics.edits import (  # noqa: E402
    EditSeam,
    KeptPixels,
    MeanOfEdits,
    SeamRatio,
)
from estimators.metrics.torchmetrics.sets import (  # noqa: E402
    AgainstReal,
    ClipScore,
    FrechetDistance,
    InceptionScore,
    KernelDistance,
    LpipsDiversity,
    OfPictures,
    PrecisionRecall,
    RPrecision,
    SetFigure,
)

__all__ = [
    "AgainstReal",
    "AttributesSeen",
    "ClipScore",
    "ColourTakenUp",
    "EditSeam",
    "FrechetDistance",
    "InceptionScore",
    "KeptPixels",
    "KernelDistance",
    "LpipsDiversity",
    "MeanOfEdits",
    "OfPictures",
    "PrecisionRecall",
    "RPrecision",
    "SeamRatio",
    "SetFigure",
]
