"""How well does a tokenizer give pictures back? `python -m vqgan.evaluate TOKENIZER --data VAL`.

Prints PSNR, LPIPS, the colour error on the garment and the codes in use, as JSON. LPIPS needs its
backbone's weights (see TORCH_HOME).
"""

from __future__ import annotations

import argparse
import json
import sys

from ufc_base.data.datasets import Pixels, open_dataset
from ufc_base.entry import exit_code
from ufc_base.settings import FITS
from vqgan.metrics import reconstruction_report
from vqgan.model import VQGAN
from vqgan.perceptual import lpips_model


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code, see `ufc_base.entry`."""
    parser = argparse.ArgumentParser(prog="python -m vqgan.evaluate", description=__doc__)
    parser.add_argument("tokenizer", help="folder with config.json and model.safetensors")
    parser.add_argument("--data", required=True, help="held-out shards or ImageFolder")
    parser.add_argument("--fit", choices=FITS, default="pad", help="how pictures get their shape")
    options = parser.parse_args(arguments)

    def measure() -> str:
        model = VQGAN.from_pretrained(options.tokenizer)
        samples = open_dataset(options.data)
        pixels = Pixels(samples, model.config.size, options.fit)
        report = reconstruction_report(model, pixels, lpips_model("alex"))
        return json.dumps(report | {"left_out": samples.said()}, indent=2)

    return exit_code(measure)


if __name__ == "__main__":
    sys.exit(main())
