"""The dominant colour of a product on a white ground, and whether two sets of pictures share it.

The ground is what is nearly white and connected with the border, so a white shirt stays a white
shirt. Each remaining pixel is named by lightness, chroma and hue in CIE Lab; the name with most
pixels wins, and the median of its pixels is the colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FloatArray = NDArray[np.float64]

NAMES = (
    "black", "grey", "white", "red", "pink", "orange", "brown", "beige",
    "yellow", "olive", "green", "blue", "navy", "purple",
)  # fmt: skip

GROUND_LIGHTNESS, GROUND_CHROMA = 95.5, 4.0  # Lab; the ground is lighter and paler than this

_D65 = np.array([0.95047, 1.0, 1.08883])
_RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
     [0.0193339, 0.1191920, 0.9503041]]
)  # fmt: skip
# A hue of up to `degrees` is `light` or `dark` or, in between, `middle`; split at two lightnesses.
_HUES = (
    # up to, dark below L, dark, middle, light above L, light
    (20, 0, "red", "red", 58, "pink"),
    (48, 30, "brown", "red", 66, "pink"),
    (75, 52, "brown", "orange", 74, "beige"),
    (100, 50, "brown", "yellow", 101, "yellow"),
    (118, 60, "olive", "yellow", 101, "yellow"),
    (205, 0, "green", "green", 101, "green"),
    (300, 28, "navy", "blue", 101, "blue"),
    (335, 0, "purple", "purple", 101, "purple"),
    (360, 30, "purple", "pink", 101, "pink"),
)


@dataclass(frozen=True)
class DominantColour:
    """A name of ``NAMES``, its Lab (L 0..100, a and b about -100..100), its part of the product."""

    name: str
    lab: tuple[float, float, float]
    share: float


@dataclass(frozen=True)
class Agreement:
    """How far pictures take up the colours of their own references, against chance.

    same: share of pictures whose colour has the name of their reference's, 0..1.
    same_by_chance: the same with references exchanged among pictures, mean over permutations.
    nearer: share nearer in Lab to their own reference than to another's, ties half; chance is 0.5.
    p_value: share of permutations that do as well as ``same``, counting the true one.
    """

    count: int
    same: float
    same_by_chance: float
    nearer: float
    p_value: float

    def as_dict(self) -> dict[str, float]:
        """The fields as a plain dictionary, for JSON."""
        return asdict(self)


def dominant_colour(image: Image.Image) -> DominantColour:
    """The dominant colour of the product in a picture of any mode and size.

    A picture that is all ground counts as white.
    """
    lab, product = find_product(image)
    if not product.any():
        return DominantColour("white", (100.0, 0.0, 0.0), 1.0)
    return dominant_of(lab[product])


def find_product(image: Image.Image) -> tuple[FloatArray, NDArray[np.bool_]]:
    """A picture in Lab (H W 3), and where its product is, without the rim (H W)."""
    lab = rgb_to_lab(np.asarray(image.convert("RGB")))
    return lab, _inner(product_mask(lab))


def dominant_of(lab: FloatArray) -> DominantColour:
    """The dominant colour of pixels in Lab (N 3), of one or more."""
    names = name_colours(lab)
    votes = np.bincount(names, minlength=len(NAMES))
    winner = int(votes.argmax())
    low, a, b = np.median(lab[names == winner], axis=0)
    return DominantColour(
        NAMES[winner], (float(low), float(a), float(b)), float(votes[winner] / len(names))
    )


def agreement(
    pictures: Sequence[DominantColour],
    references: Sequence[DominantColour],
    *,
    permutations: int = 1000,
    seed: int = 0,
) -> Agreement:
    """Compare ``pictures[i]`` with ``references[i]``, and with other references for chance.

    Raises:
        ValueError: different lengths, or fewer than 2 pairs.
    """
    if len(pictures) != len(references) or len(pictures) < 2:
        raise ValueError(
            f"got {len(pictures)} pictures and {len(references)} references, "
            "wanted equal numbers of 2 or more"
        )
    own = np.array([NAMES.index(c.name) for c in pictures])
    given = np.array([NAMES.index(c.name) for c in references])
    same = float((own == given).mean())
    rng = np.random.default_rng(seed)
    chance = np.array([(own == rng.permutation(given)).mean() for _ in range(permutations)])
    return Agreement(
        count=len(own),
        same=same,
        same_by_chance=float(chance.mean()) if permutations else float("nan"),
        nearer=_nearer(np.array([c.lab for c in pictures]), np.array([c.lab for c in references])),
        p_value=float((1 + (chance >= same).sum()) / (1 + permutations)),
    )


def rgb_to_lab(rgb: NDArray[np.uint8]) -> FloatArray:
    """sRGB, uint8, ... 3, to CIE Lab under D65, float64, ... 3."""
    value = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)
    xyz = linear @ _RGB_TO_XYZ.T / _D65
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def product_mask(lab: FloatArray) -> NDArray[np.bool_]:
    """True (H W) where a Lab picture (H W 3) is not white ground connected with its border."""
    pale = (lab[..., 0] > GROUND_LIGHTNESS) & (np.hypot(lab[..., 1], lab[..., 2]) < GROUND_CHROMA)
    ground = np.zeros_like(pale)
    ground[[0, -1], :], ground[:, [0, -1]] = pale[[0, -1], :], pale[:, [0, -1]]
    while True:  # the ground grows into its pale neighbours until it stops
        grown = _dilate(ground) & pale
        if (grown == ground).all():
            return np.asarray(~ground)
        ground = grown


def name_colours(lab: FloatArray) -> NDArray[np.intp]:
    """Indices into ``NAMES`` (N) of Lab colours (N 3)."""
    light, chroma = lab[:, 0], np.hypot(lab[:, 1], lab[:, 2])
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360
    names = np.full(len(lab), "pink", dtype="<U6")  # hues from 360 on start again with red
    for degrees, dark_below, dark, middle, light_above, pale in reversed(_HUES):
        name = np.where(light < dark_below, dark, np.where(light > light_above, pale, middle))
        names = np.where(hue <= degrees, name, names)
    warm, cold = (hue > 30) & (hue < 105), (hue > 230) & (hue < 310)
    names[warm & (chroma < 28) & (light > 60)] = "beige"
    names[warm & (chroma < 28) & (light <= 60)] = "brown"
    names[cold & (light < 34)] = "navy"
    neutral = np.where(light < 40, "black", np.where(light > 80, "white", "grey"))
    names = np.where(chroma < np.where(warm | cold, 5.5, 7.5), neutral, names)
    names[(light < 10) & (chroma < 15)] = "black"
    order = {name: index for index, name in enumerate(NAMES)}
    return np.array([order[name] for name in names], dtype=np.intp)


def without_colour(text: str, colour: str) -> str:
    """A caption with the words of its colour (``Navy Blue``) taken out, whatever their case."""
    unwanted = set(colour.lower().split())
    return " ".join(word for word in text.split() if word.lower().strip(",.") not in unwanted)


def _nearer(pictures: FloatArray, references: FloatArray) -> float:
    """Mean chance, over pictures, that the own reference is nearer than one of the others."""
    distance = np.linalg.norm(pictures[:, None] - references[None], axis=-1)
    own = np.diag(distance)[:, None]
    others = ~np.eye(len(pictures), dtype=bool)
    return float(((own < distance) + 0.5 * (own == distance))[others].mean())


def _dilate(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask (H W) grown by its four neighbours."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown


def _inner(product: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The product without its rim, where pixels mix with the ground; all of it if it is thin."""
    inner = np.asarray(~_dilate(~product))
    return inner if inner.sum() * 4 > product.sum() else product
