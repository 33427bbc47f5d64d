"""Known tokens: which blocks of an edited picture are locked, what is encoded, pasting back.

The block grid is the mask: a block with any pixel to be regenerated is free. Those pixels
are erased before encoding, so that nothing of them leaks into the codes of kept blocks; the
kept pixels are put back at the end exactly as they were. Where the picture has a colour profile,
the model sees it in sRGB, and what it made is brought into the profile's colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ufc.conditioning.frame import Grid, cells, sides
from ufc_base.images import (
    ImageError,
    ImageSource,
    fit_mask,
    fit_picture,
    load_mask,
    match_mask,
    picture_fit,
    to_pil,
    to_tensor,
)
from ufc_base.profiles import PROFILE, in_profile, sound_profile, to_srgb

if TYPE_CHECKING:
    from ufc.conditioning.edits.original_size import Photograph


@dataclass(frozen=True)
class KeptPixels:
    """A picture in some size, (3, H, W) in -1..1, and which of its pixels stay, (H, W)."""

    pixels_CHW: Tensor
    kept_HW: Tensor


@dataclass(frozen=True)
class EditCanvas:
    """A base picture at model size.

    Attributes:
        pixels_CHW: the picture in -1..1, its own numbers.
        kept_HW: pixels that stay as they are.
        locked_T: blocks of the grid whose code stays, row-major.
        erased_CHW: the picture in sRGB, with everything else filled from the kept pixels around it.
        codes_T: codes of the picture where they are known; it is then not encoded again.
        whole_CHW: all of the picture in sRGB, where what is not kept is changed in part only.
        profile: the colour profile that its numbers are meant in; None for sRGB.
        photograph: what it is a part of, where it comes back at the photograph's own size.
        enlarged: what is kept at the size of enlarged pictures, where the picture has as many
            pixels of its own.
    """

    pixels_CHW: Tensor
    kept_HW: Tensor
    locked_T: Tensor
    erased_CHW: Tensor
    codes_T: Tensor | None = None
    profile: bytes | None = None
    photograph: Photograph | None = None
    enlarged: KeptPixels | None = None
    whole_CHW: Tensor | None = None


def blank_edit(grid: Grid, resolution: Grid) -> EditCanvas:
    """A canvas with nothing to keep; `resolution` is (height, width) or a side, in pixels."""
    height, width = sides(resolution)
    blank = torch.zeros(3, height, width)
    nothing = torch.zeros(height, width, dtype=torch.bool)
    return EditCanvas(blank, nothing, torch.zeros(cells(grid), dtype=torch.bool), blank)


def edit_canvas(
    image: Image.Image | None,
    mask: ImageSource | None,
    blocks: Sequence[int] | None,
    grid: Grid,
    resolution: Grid,
    codes_T: Tensor | None = None,
    stretch: float = 0.0,
    whole: bool = False,
) -> EditCanvas | None:
    """Prepare an edit; None if there is no picture.

    `grid` is (rows, columns), `resolution` (height, width), or a side each; the picture is
    stretched by at most `stretch` to fill it, see `ufc_base.images.picture_fit`.

    `codes_T` are the picture's own codes, from an earlier call: they are taken as they are, so a
    chain of edits does not decay. They may also stand alone; nothing is then put back. With
    `whole` what is not kept is seen too.

    Raises `ValueError` for a mask or blocks without a picture, both at once, neither with a
    picture, blocks out of range, a mask of other proportions than its picture, or one that leaves
    nothing to generate.
    """
    if image is None:
        if codes_T is not None:
            return codes_only(codes_T, mask, blocks, grid, resolution)
        if mask is not None or blocks is not None:
            raise ValueError("got blocks or a mask to keep by, but no image to keep them from")
        return None
    fitted_image, kept_HW = fitted_edit(image, mask, blocks, grid, resolution, stretch)
    if kept_HW.all():
        raise ValueError(
            "the whole image is kept, so there is nothing to generate: paint the mask white where "
            "it is to be regenerated, or leave blocks out"
        )
    locked_T = kept_blocks(kept_HW, grid)
    seen_CHW = to_tensor(to_srgb(fitted_image))[0]
    return EditCanvas(
        to_tensor(fitted_image)[0],
        kept_HW,
        locked_T,
        fill_from_kept(seen_CHW, kept_HW),
        codes_T,
        sound_profile(fitted_image),
        whole_CHW=seen_CHW if whole else None,
    )


def fitted_edit(
    image: Image.Image,
    mask: ImageSource | None,
    blocks: Sequence[int] | None,
    grid: Grid,
    resolution: Grid,
    stretch: float,
) -> tuple[Image.Image, Tensor]:
    """A picture in some resolution, and its pixels that stay, (H, W); see `edit_canvas`."""
    if (mask is None) == (blocks is None):
        raise ValueError(
            "an image to edit needs either mask_image (white is regenerated) "
            "or preserve_blocks (the blocks to keep), and not both"
        )
    if mask is not None:
        try:
            grey = load_mask(mask)
        except ImageError as error:
            raise ImageError(f"mask_image: {str(error).removeprefix('image: ')}") from None
        fitted = fit_mask(match_mask(grey, image.size), sides(resolution), stretch)
        kept_HW = torch.from_numpy(np.array(fitted)) == 0
    else:
        kept_HW = kept_pixels(blocks or [], grid, resolution)
    return fit_picture(image, sides(resolution), stretch), kept_HW


def enlarged_edit(
    image: Image.Image,
    mask: ImageSource | None,
    blocks: Sequence[int] | None,
    grid: Grid,
    resolution: Grid,
    stretch: float,
) -> KeptPixels | None:
    """What an edit keeps at the larger `resolution` (height, width) that its result comes in.

    None where the picture has fewer pixels: what is kept is then enlarged with the rest.
    """
    fit = picture_fit(image.size, sides(resolution), stretch)
    if image.width < fit.inner_width or image.height < fit.inner_height:
        return None
    fitted, kept_HW = fitted_edit(image, mask, blocks, grid, resolution, stretch)
    return KeptPixels(to_tensor(fitted)[0], kept_HW)


def codes_only(
    codes_T: Tensor,
    mask: ImageSource | None,
    blocks: Sequence[int] | None,
    grid: Grid,
    resolution: Grid,
) -> EditCanvas:
    """An edit of codes without their pixels: locked blocks, and nothing to put back."""
    if blocks is None or mask is not None:
        raise ValueError("codes without their image need preserve_blocks, the blocks to keep")
    blank = blank_edit(grid, resolution)
    locked_T = kept_blocks(kept_pixels(blocks, grid, resolution), grid)
    return replace(blank, locked_T=locked_T, codes_T=codes_T)


def kept_pixels(blocks: Sequence[int], grid: Grid, resolution: Grid) -> Tensor:
    """Pixels of the given blocks, (H, W) bool."""
    (rows, columns), (height, width) = sides(grid), sides(resolution)
    wrong = [block for block in blocks if not 0 <= block < rows * columns]
    if wrong:
        raise ValueError(
            f"preserve_blocks has {wrong}, but the grid of this picture has {rows} x {columns} "
            f"blocks, 0 to {rows * columns - 1}"
        )
    kept_T = torch.zeros(rows * columns, dtype=torch.bool)
    kept_T[list(blocks)] = True
    kept_HW = kept_T.view(rows, columns).repeat_interleave(height // rows, 0)
    return kept_HW.repeat_interleave(width // columns, 1)


def kept_blocks(kept_HW: Tensor, grid: Grid) -> Tensor:
    """Blocks all of whose pixels are kept, (T,) bool."""
    rows, columns = sides(grid)
    height, width = kept_HW.shape
    blocks = kept_HW.view(rows, height // rows, columns, width // columns)
    return blocks.all(3).all(1).flatten()


def fill_from_kept(pixels_CHW: Tensor, kept_HW: Tensor) -> Tensor:
    """Everything that is not kept, painted over from the kept pixels next to it, ring by ring.

    The result does not depend on what was there. With nothing kept it is white.
    """
    known = kept_HW[None, None].float()
    painted = pixels_CHW[None] * known
    if not kept_HW.any():
        return torch.ones_like(pixels_CHW)
    while not bool(known.all()):
        near = F.avg_pool2d(known, 3, stride=1, padding=1)
        mean = F.avg_pool2d(painted, 3, stride=1, padding=1) / near.clamp_min(1e-6)
        ring = (near > 0) & (known == 0)
        painted = torch.where(ring, mean, painted)
        known = torch.where(ring, torch.ones_like(known), known)
    return painted[0]


def paste_back(pixels_BCHW: Tensor, edits: Sequence[EditCanvas], feather: int = 0) -> Tensor:
    """Generated pictures, each in the colours of its edit, with the kept pixels put back exactly.

    With `feather`, a band of so many pixels outside them fades from the original to the new.
    """
    pasted = pixels_BCHW.clone()
    for row, edit in enumerate(edits):
        if edit.profile is not None:
            generated = in_profile(to_pil(pasted[row : row + 1])[0], edit.profile)
            pasted[row] = to_tensor(generated)[0]
        pasted[row] = with_kept(pasted[row], edit, feather)
    return pasted


def paste_enlarged(pixels_BCHW: Tensor, edits: Sequence[EditCanvas], feather: int = 0) -> Tensor:
    """Enlarged results of `paste_back` with the pixels that edits keep at that size put back."""
    rows = [
        pixels_CHW if edit.enlarged is None else with_kept(pixels_CHW, edit.enlarged, feather)
        for pixels_CHW, edit in zip(pixels_BCHW, edits, strict=True)
    ]
    return torch.stack(rows)


def with_kept(pixels_CHW: Tensor, edit: EditCanvas | KeptPixels, feather: int) -> Tensor:
    """A picture with the kept pixels in it exactly, and `feather` pixels of fading around them."""
    if not edit.kept_HW.any():
        return pixels_CHW
    blended = torch.lerp(pixels_CHW, edit.pixels_CHW, feathered(edit.kept_HW, feather))
    return torch.where(edit.kept_HW, edit.pixels_CHW, blended)


def as_pictures(pixels_BCHW: Tensor, edits: Sequence[EditCanvas]) -> list[Image.Image]:
    """What `paste_back` gives as PIL pictures, each with its colour profile in `info`."""
    pictures = to_pil(pixels_BCHW)
    for picture, edit in zip(pictures, edits, strict=True):
        if edit.profile is not None:
            picture.info[PROFILE] = edit.profile
    return pictures


def feathered(kept_HW: Tensor, feather: int) -> Tensor:
    """1 on kept pixels, falling linearly to 0 over `feather` pixels outside, (H, W)."""
    reach = kept_HW[None, None].float()
    alpha = reach.clone()
    for ring in range(1, feather + 1):
        grown = F.max_pool2d(reach, 3, stride=1, padding=1)
        alpha = torch.where((grown > 0) & (reach == 0), 1 - ring / (feather + 1), alpha)
        reach = grown
    return alpha[0, 0]
