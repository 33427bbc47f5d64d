"""How near does an upscaler come to photographs?

    python -m vqgan.upscaling.evaluate UPSCALER --tokenizer TOKENIZER --data HELD-OUT

Prints PSNR and LPIPS of the tokenizer's reconstructions at twice their size, by the upscaler, by
bicubic and by Lanczos interpolation, as JSON. LPIPS needs its backbone's weights (see TORCH_HOME).
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ufc_base.data.datasets import open_dataset
from ufc_base.program import argument, option, program
from ufc_base.settings import Fit
from vqgan.perceptual import lpips_model
from vqgan.upscaling.data import Pairs
from vqgan.upscaling.metrics import enlargement_report, plain_reports
from vqgan.upscaling.model import Upscaler
from vqgan.upscaling.trainer import load_tokenizer


@dataclass(kw_only=True)
class Flags:
    upscaler: Annotated[str, argument("Folder with config.json and model.safetensors.")]
    tokenizer: Annotated[str, option("Its tokenizer's folder, or a model's.")]
    data: Annotated[str, option("Held-out shards or ImageFolder.")]
    fit: Annotated[
        Fit | None, option("How pictures get their shape (as the tokenizer had them).")
    ] = None


def evaluate(flags: Flags) -> str:
    """The report as JSON."""
    model, tokenizer = Upscaler.from_pretrained(flags.upscaler), load_tokenizer(flags.tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pairs.safetensors"
        fit = flags.fit or tokenizer.config.fit
        pairs = Pairs.build(tokenizer, open_dataset(flags.data), file, fit)
    given = pairs, lpips_model("alex"), range(len(pairs))
    report = {"pictures": len(pairs)} | enlargement_report(model.enlarge, *given)
    return json.dumps(report | plain_reports(*given), indent=2)


main = program("python -m vqgan.upscaling.evaluate", __doc__, {"": (Flags, evaluate, "")})

if __name__ == "__main__":
    sys.exit(main())
