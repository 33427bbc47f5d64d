"""The codes of generated pictures in one file, for `ufc train-tokenizer --generated-codes`.

    python scripts/codes_of_pictures.py PICTURES... -o codes.safetensors

Every PNG that the program writes has its codes in it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from ufc.io.png.metadata import read_metadata


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", nargs="+", type=Path, help="folders of generated PNGs")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".safetensors to write")
    arguments = parser.parse_args()
    files = [file for folder in arguments.folder for file in sorted(folder.glob("*.png"))]
    blocks = [read_metadata(file).blocks for file in files]
    codes = [torch.tensor(one.codes).view(one.grid_size) for one in blocks if one and one.codes]
    if not codes:
        parser.error("no picture there has codes in it: give folders that ufc generate wrote")
    save_file({"codes": torch.stack(codes).int()}, arguments.output)
    print(f"{arguments.output}: codes of {len(codes)} pictures")


if __name__ == "__main__":
    main()
