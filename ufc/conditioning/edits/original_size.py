"""Edits at the photograph's own size: the model works on a reduction of the part that changes.

The photograph stays as it is. The part around the changed area is what the model sees; what it
makes of it is brought to the photograph's colours at the seam, enlarged (by the model's upscaler
first, where it has one), given the photograph's grain, and laid into the changed area alone. Every
other pixel is the photograph's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from torch import Tensor

from ufc.conditioning.frame import Frame, Frames
from ufc.conditioning.known_tokens import EditCanvas, fill_from_kept
from ufc.io.validation import RequestError
from ufc_base.images import PictureFit, load_mask, match_mask, picture_fit, to_pil, to_tensor
from ufc_base.profiles import PROFILE, in_profile

Box = tuple[int, int, int, int]

CONTEXT = 2.0  # sides of the part that the model sees, against those of what changes
MOST_OF_IT = 0.6  # a part of more than this share of the photograph is all of it
REACH = 16  # pixels of the model over which the correction of colour fades away
LEAST_FADE = 2  # pixels of the model over which the new sets in, or every seam shows
RING = 8  # pixels of the model around the changed area, whose grain is taken


@dataclass(frozen=True)
class Photograph:
    """A photograph with what changes in it.

    Attributes:
        original: upright RGB in its own colours, its profile in `info`.
        box: the part that the model sees (left, upper, right, lower).
        changed: that part's mask, L: 255 where it is regenerated.
    """

    original: Image.Image
    box: Box
    changed: Image.Image

    @property
    def part(self) -> Image.Image:
        """The part that the model sees, with the photograph's profile."""
        part = self.original.crop(self.box)
        part.info = dict(self.original.info)
        return part


def prepare(
    original: Image.Image,
    mask: Image.Image | np.ndarray | Tensor | None,
    blocks: Sequence[int] | None,
    frames: Frames,
) -> Photograph:
    """What an edit of a photograph changes, by a mask or by the blocks that are kept.

    Blocks are those of the grid that is chosen for the whole photograph; a pixel belongs to the
    block that its centre lies in.

    Raises:
        RequestError: neither or both of them, or nothing is changed.
        ImageError: a mask of other proportions.
    """
    if (mask is None) == (blocks is None):
        raise RequestError(
            "an edit at the original's size needs mask_image or preserve_blocks, and not both"
        )
    if mask is not None:
        changed = match_mask(load_mask(mask), original.size)
    else:
        changed = changed_by_blocks(original.size, blocks or (), frames.choose(original.size))
    bounds = changed.getbbox()
    if bounds is None:
        raise RequestError("the whole image is kept, so there is nothing to generate")
    box = part_to_see(bounds, original.size, frames.default)
    return Photograph(original, box, changed.crop(box))


def changed_by_blocks(size: tuple[int, int], kept: Sequence[int], frame: Frame) -> Image.Image:
    """The mask of a photograph of `size` (width, height): 255 outside the kept blocks."""
    rows, columns = frame.grid
    free = np.ones(rows * columns, bool)
    free[list(kept)] = False
    fit = picture_fit(size, frame.size, frame.stretch)
    down = (fit.top + (np.arange(size[1]) + 0.5) * fit.inner_height / size[1]) // frame.cell
    across = (fit.left + (np.arange(size[0]) + 0.5) * fit.inner_width / size[0]) // frame.cell
    board = free.reshape(rows, columns)[down.astype(int)][:, across.astype(int)]
    return Image.fromarray(board.astype(np.uint8) * 255)


def part_to_see(bounds: Box, size: tuple[int, int], frame: Frame) -> Box:
    """The part around the changed `bounds`: `CONTEXT` times as wide and high, and no smaller than
    the model's own pictures, inside a photograph of `size` (width, height)."""
    spans = []
    for low, high, whole, least in zip(
        bounds[:2], bounds[2:], size, reversed(frame.size), strict=True
    ):
        wide = min(whole, max(round(CONTEXT * (high - low)), least))
        start = min(max(0, (low + high - wide) // 2), whole - wide)
        spans.append((start, start + wide))
    (left, right), (upper, lower) = spans
    if (right - left) * (lower - upper) > MOST_OF_IT * size[0] * size[1]:
        return 0, 0, *size
    return left, upper, right, lower


def restore(
    photograph: Photograph,
    edit: EditCanvas,
    decoded_CHW: Tensor,
    stretch: float,
    feather: int = 0,
    enlarge: Callable[[Tensor], Tensor] | None = None,
) -> Image.Image:
    """The photograph with what the model made in the changed area, at its own size.

    Args:
        photograph: what `prepare` found.
        edit: its part at the model's size.
        decoded_CHW: what the model made of the part, in sRGB, -1..1.
        stretch: how the part was fitted, see `picture_fit`.
        feather: pixels of the model over which the new fades in, inside the changed area;
            `LEAST_FADE` or more.
        enlarge: the upscaler, (1, 3, H, W) to a larger picture, where the model has one.
    """
    part = photograph.part
    fit = fit_of(part, decoded_CHW, stretch)
    scale = part.width / fit.inner_width
    own_CHW = in_colours(decoded_CHW, edit.profile)
    matched_CHW = match_colours(own_CHW, edit)
    if enlarge is not None and scale > 1:
        large_CHW = in_colours(enlarge(decoded_CHW[None])[0], edit.profile)
        matched_CHW = large_CHW + resized(matched_CHW - own_CHW, large_CHW)
        fit = fit_of(part, large_CHW, stretch)
    matched = to_pil(matched_CHW[None])[0]
    made = matched.crop(fit.box).resize(part.size, Image.Resampling.LANCZOS)
    old = np.asarray(part, np.float32)
    new = np.asarray(made, np.float32) + grain(part, photograph.changed, fit.inner_width)
    alpha = fade(photograph.changed, max(feather, LEAST_FADE) * scale)[..., None]
    mixed = np.clip(np.rint(old + (new - old) * alpha), 0, 255).astype(np.uint8)
    inside = np.asarray(photograph.changed)[..., None] > 0
    result = photograph.original.copy()
    result.paste(Image.fromarray(np.where(inside, mixed, np.asarray(part))), photograph.box[:2])
    result.info = {} if edit.profile is None else {PROFILE: edit.profile}
    return result


def fit_of(part: Image.Image, made_CHW: Tensor, stretch: float) -> PictureFit:
    """Where a part lies in what was made of it."""
    return picture_fit(part.size, (made_CHW.shape[1], made_CHW.shape[2]), stretch)


def in_colours(made_CHW: Tensor, profile: bytes | None) -> Tensor:
    """A picture in sRGB brought into the colours of a profile."""
    if profile is None:
        return made_CHW
    return to_tensor(in_profile(to_pil(made_CHW[None])[0], profile))[0]


def resized(x_CHW: Tensor, like_CHW: Tensor) -> Tensor:
    """Smooth values in another size, bilinear."""
    size = like_CHW.shape[-2:]
    return F.interpolate(x_CHW[None], size, mode="bilinear", align_corners=False)[0]


def match_colours(decoded_CHW: Tensor, edit: EditCanvas) -> Tensor:
    """The model's picture with the error that it makes on kept pixels taken off near the seam.

    The error next to the seam is carried into the changed area and fades over `REACH` pixels, so
    that no edge shows where decoding alone changes a colour.
    """
    kept_HW = edit.kept_HW
    if not kept_HW.any():
        return decoded_CHW
    known = kept_HW[None, None].float()
    error = (edit.pixels_CHW - decoded_CHW)[None] * known
    near = F.avg_pool2d(known, 5, stride=1, padding=2).clamp_min(1e-6)
    smooth_CHW = (F.avg_pool2d(error, 5, stride=1, padding=2) / near)[0]
    carried_CHW = fill_from_kept(smooth_CHW, kept_HW)
    return decoded_CHW + carried_CHW * torch.exp(-distance(kept_HW) / REACH)


def distance(kept_HW: Tensor) -> Tensor:
    """Steps from the kept pixels, 0 on them, (H, W); exact to a few times `REACH`."""
    reached = kept_HW[None, None].float()
    steps_HW = torch.zeros(kept_HW.shape)
    for _ in range(4 * REACH):
        steps_HW += 1 - reached[0, 0]
        reached = F.max_pool2d(reached, 3, stride=1, padding=1)
    return steps_HW


def grain(part: Image.Image, changed: Image.Image, width: int) -> np.ndarray:
    """Noise like that which reducing to `width` takes from the kept pixels near the changed area.

    Its spread is a median, so that edges and lettering do not count; white is without any.
    """
    scale = part.width / width
    if scale <= 1:
        return np.zeros((part.height, part.width, 1), np.float32)
    small = part.resize((width, max(1, round(part.height / scale))), Image.Resampling.BOX)
    fine = np.asarray(part, np.float32) - np.asarray(
        small.resize(part.size, Image.Resampling.BICUBIC), np.float32
    )
    near = np.asarray(changed.filter(ImageFilter.BoxBlur(RING * scale))) > 0
    ring = near & (np.asarray(changed) == 0)
    spread = 1.4826 * float(np.median(np.abs(fine[ring]))) if ring.any() else 0.0
    noise = np.random.default_rng(0).standard_normal((part.height, part.width, 1), np.float32)
    return spread * noise


def fade(changed: Image.Image, feather: float) -> np.ndarray:
    """How much of the new each pixel takes, 0..1: nothing outside the changed area, all of it
    `feather` pixels inside, (H, W).

    Where the area is too thin for that, it sets in faster, so that all of it is changed.
    """
    inside = np.asarray(changed, np.float32) / 255
    if feather < 1:
        return inside
    soft = np.asarray(changed.filter(ImageFilter.BoxBlur(feather)), np.float32) / 255
    alpha = inside * np.clip(2 * soft - 1, 0, 1)
    core = ~grown(inside == 0, int(feather))
    thin = (inside > 0) & ~grown(core, int(feather))
    return np.where(thin, fade(changed, feather / 2), alpha) if thin.any() else alpha


def grown(mask_HW: np.ndarray, reach: int) -> np.ndarray:
    """A mask with all within a square of `reach` pixels around it."""
    for axis in (0, 1):
        margin = [(0, 0), (0, 0)]
        margin[axis] = (reach + 1, reach)
        sums = np.cumsum(np.pad(mask_HW, margin), axis=axis, dtype=np.int32)
        span = 2 * reach + 1
        lines = np.moveaxis(sums, axis, 0)
        mask_HW = np.moveaxis(lines[span:] > lines[:-span], 0, axis)
    return mask_HW
