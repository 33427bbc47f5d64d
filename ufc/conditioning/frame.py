"""How large a picture is made: its grid of blocks, and the choice of one for a given picture.

A model runs on grids of any shape, and best on about as many blocks as it was trained on. So a
picture of other proportions takes the grid that is nearest to them among those of about that area.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image

from ufc.io.png.block_record import MOST_BLOCKS_A_SIDE
from ufc.io.validation import RequestError
from ufc_base.images import fit_mask, fit_picture
from vqgan.upscaling.model import SCALE

Grid = int | tuple[int, int]  # blocks a side of a square, or (rows, columns)

MOST_STRETCH = 0.08  # of a side: less is not seen, more is padded
MOST_AREA = 1.25  # of the trained number of blocks, either way
LONGEST_SIDE = 1.5  # of the longer trained side
AREA_WEIGHT = 0.25  # of a factor in area against the same factor in proportions


def sides(grid: Grid) -> tuple[int, int]:
    """(rows, columns) of a grid."""
    return (grid, grid) if isinstance(grid, int) else grid


def cells(grid: Grid) -> int:
    """How many blocks a grid has."""
    rows, columns = sides(grid)
    return rows * columns


@dataclass(frozen=True)
class Frame:
    """A picture's size: `grid` is (rows, columns), a block is `cell` pixels a side.

    What is fitted into it is stretched by no more than `stretch`, a share, to fill it.
    """

    grid: tuple[int, int]
    cell: int
    stretch: float = 0.0

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.grid[0] * self.cell, self.grid[1] * self.cell

    @property
    def cells(self) -> int:
        """How many blocks there are, numbered row by row."""
        return self.grid[0] * self.grid[1]

    def holds(self, size: tuple[int, int]) -> bool:
        """Whether a picture of (width, height) has this size already."""
        return size[::-1] == self.size

    def fit(self, image: Image.Image) -> Image.Image:
        """A picture in this size."""
        return fit_picture(image, self.size, self.stretch)

    def fit_mask(self, mask: Image.Image) -> Image.Image:
        """A mask (`L`, 0 and 255) in this size, where `fit` lays the picture it belongs to."""
        return fit_mask(mask, self.size, self.stretch)


@dataclass(frozen=True)
class Frames:
    """The sizes that a model makes pictures in: `trained` is the (rows, columns) it was made for.

    A model of square pictures lays every upload into its square, with padding beside it, unless a
    height or width says otherwise; a model of other pictures chooses a grid for the upload.
    """

    trained: tuple[int, int]
    cell: int

    @property
    def default(self) -> Frame:
        """The trained size."""
        return self.of(self.trained)

    def of(self, grid: tuple[int, int]) -> Frame:
        """The frame of a grid."""
        square = self.trained[0] == self.trained[1]
        return Frame(grid, self.cell, 0.0 if square and grid == self.trained else MOST_STRETCH)

    def choose(
        self,
        image: tuple[int, int] | None = None,
        height: int | None = None,
        width: int | None = None,
        codes: int | None = None,
    ) -> Frame:
        """The frame of a picture that is asked for.

        Args:
            image: (width, height) of the picture to edit, where there is one.
            height: pixels, where they are asked for; goes before the image's own.
            width: as `height`.
            codes: how many codes are given, of the image where there is one.

        Raises:
            RequestError: a height or width that is no multiple of the block size, or too large.
        """
        grid = self.trained
        if image is not None:
            square = self.trained[0] == self.trained[1]
            own = self.own_grid(image, codes)
            grid = own or (self.trained if square else self.nearest(image))
        rows = grid[0] if height is None else self.blocks("height", height)
        columns = grid[1] if width is None else self.blocks("width", width)
        return self.of((rows, columns))

    def blocks(self, name: str, pixels: int) -> int:
        """How many blocks a side of so many pixels has."""
        count, rest = divmod(pixels, self.cell)
        if rest or not 1 <= count <= MOST_BLOCKS_A_SIDE:
            near = min(MOST_BLOCKS_A_SIDE, max(1, round(pixels / self.cell))) * self.cell
            raise RequestError(
                f"{name}: got {pixels} pixels, wanted a multiple of the {self.cell} pixels of a "
                f"block, {self.cell} to {MOST_BLOCKS_A_SIDE * self.cell}, such as {near}"
            )
        return count

    def own_grid(self, size: tuple[int, int], codes: int | None = None) -> tuple[int, int] | None:
        """The grid of a picture of (width, height) that has the size of one already.

        That is one with as many blocks as it has `codes`, or about as many as were trained. For a
        model of squares as many codes as its square has are those of the square.
        """
        grid = self.whole(size)
        if codes is not None and (grid is None or grid[0] * grid[1] != codes):
            grid = self.whole(size, SCALE)  # an enlarged one
        square = self.trained[0] == self.trained[1]
        if grid is None or (square and codes in (None, self.default.cells)):
            return None
        known = self.usual(grid) if codes is None else codes == grid[0] * grid[1]
        return grid if known else None

    def whole(self, size: tuple[int, int], scale: int = 1) -> tuple[int, int] | None:
        """(rows, columns) of a picture of (width, height) in whole blocks, `scale` times as large
        as the model's; None for another."""
        (columns, right), (rows, below) = (divmod(side, scale * self.cell) for side in size)
        if right or below or not min(rows, columns) or max(rows, columns) > MOST_BLOCKS_A_SIDE:
            return None
        return rows, columns

    def usual(self, grid: tuple[int, int]) -> bool:
        """Whether a grid has about as many blocks as were trained, and no long side."""
        area = grid[0] * grid[1] / (self.trained[0] * self.trained[1])
        long = max(grid) > LONGEST_SIDE * max(self.trained)
        return 1 / MOST_AREA <= area <= MOST_AREA and not long

    def nearest(self, size: tuple[int, int]) -> tuple[int, int]:
        """The grid that a picture of (width, height) distorts least, at about the trained area."""
        longest = int(LONGEST_SIDE * max(self.trained))
        area = self.trained[0] * self.trained[1]

        def distance(grid: tuple[int, int]) -> float:
            shape = abs(math.log(size[0] * grid[0] / (size[1] * grid[1])))
            return shape + AREA_WEIGHT * abs(math.log(grid[0] * grid[1] / area))

        counts = range(1, longest + 1)
        grids = [(rows, columns) for rows in counts for columns in counts]
        return min(filter(self.usual, grids), key=distance)
