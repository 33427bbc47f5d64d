"""How well does a tokenizer give pictures back? `python -m vqgan.evaluate TOKENIZER --data VAL`.

Prints PSNR, LPIPS, the colour error on the garment and the codes in use, as JSON. LPIPS needs its
backbone's weights (see TORCH_HOME).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Annotated

from ufc_base.data.datasets import Pixels, open_dataset
from ufc_base.program import argument, option, program
from ufc_base.settings import Fit
from vqgan.metrics import reconstruction_report
from vqgan.model import VQGAN
from vqgan.perceptual import lpips_model


@dataclass(kw_only=True)
class Flags:
    tokenizer: Annotated[str, argument("Folder with config.json and model.safetensors.")]
    data: Annotated[str, option("Held-out shards or ImageFolder.")]
    fit: Annotated[
        Fit | None, option("How pictures get their shape (as the tokenizer had them).")
    ] = None


def evaluate(flags: Flags) -> str:
    """The report as JSON."""
    model = VQGAN.from_pretrained(flags.tokenizer)
    samples = open_dataset(flags.data)
    pixels = Pixels(samples, model.config.size, flags.fit or model.config.fit)
    report = reconstruction_report(model, pixels, lpips_model("alex"))
    return json.dumps(report | {"left_out": samples.said()}, indent=2)


main = program("python -m vqgan.evaluate", __doc__, {"": (Flags, evaluate, "")})

if __name__ == "__main__":
    sys.exit(main())
