"""Do both halves of a product agree in colour? What is made half by half may not."""

from __future__ import annotations

import numpy as np
from PIL import Image

from estimators.metrics.references.colour import dominant_of, find_product


def halves_agree(image: Image.Image) -> bool | None:
    """Whether the left and the right half of the product have dominant colours of one name.

    The product is what is not white ground; it is parted in the middle of its width. Two-coloured
    things disagree by right, so the figure is to stand beside that of real pictures.

    Returns:
        None where there is no product on one side: the picture is all ground, say.
    """
    lab, product = find_product(image)
    columns = np.flatnonzero(product.any(axis=0))
    if not len(columns):
        return None
    middle = (int(columns[0]) + int(columns[-1]) + 1) // 2
    left, right = lab[:, :middle][product[:, :middle]], lab[:, middle:][product[:, middle:]]
    if not len(left) or not len(right):
        return None
    return dominant_of(left).name == dominant_of(right).name
