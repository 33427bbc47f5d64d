"""Three fixed requests to the bundled model, and its codes for them: `bundled.json`.

    PYTHONPATH=. python tests/golden/bundled_cases.py       record them, when the weights change

Codes are the likeliest ones (temperature 0), which noise of one part in 100,000 on the weights does
not change. `codes` are of eight steps in fp32; `one_pass` those of a single one, where a precision
that takes one code for another does not lead the steps behind it elsewhere.
"""

from __future__ import annotations

import json
from typing import Any

from golden_cases import HERE, toy_picture, upper_half_kept
from PIL import Image

from ufc import UFCPipeline
from ufc.io.hub import DEFAULT_MODEL, MANIFEST, bundled_folder

BUNDLED = HERE / "bundled.json"
WEIGHTS = tuple(
    f"{DEFAULT_MODEL}/{part}/model.safetensors" for part in ("tokenizer", "transformer")
)
STEPS = {"codes": 8, "one_pass": 1}


def load(dtype: str) -> UFCPipeline:
    pipeline = UFCPipeline.from_pretrained(dtype=dtype, device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def bundled_requests(size: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """Keyword arguments of a pipeline call each; `size` is (height, width)."""
    bag, shirt = (
        toy_picture(*what).resize(size[::-1], Image.Resampling.BICUBIC)
        for what in (("red", "bag", 5), ("blue", "shirt", 2))
    )
    return {
        "words": {"prompt": "women's red handbag"},
        "words and a reference": {"prompt": "男士衬衫", "reference_images": shirt},
        "words and kept blocks": {
            "prompt": "women's red handbag",
            "image": bag,
            "mask_image": upper_half_kept(size[::-1]),
        },
    }


def codes_of(pipeline: UFCPipeline, steps: int) -> dict[str, list[int]]:
    """The codes of each request's picture, row by row."""
    asked = bundled_requests(pipeline.tokenizer.config.size)
    settings: dict[str, Any] = {"num_inference_steps": steps, "temperature": 0.0, "seed": 0}
    return {
        name: pipeline(**request, **settings, num_candidates=1, best_of=1).codes.flatten().tolist()
        for name, request in asked.items()
    }


def hashes() -> dict[str, str]:
    """Of the weights that the codes are of."""
    known = json.loads((bundled_folder() / MANIFEST).read_text(encoding="utf-8"))
    return {name: known[name] for name in WEIGHTS}


def main() -> None:
    pipeline = load("fp32")
    found = {name: codes_of(pipeline, steps) for name, steps in STEPS.items()}
    lines = [
        f' "{kind}": {{\n'
        + ",\n".join(f"  {json.dumps(name)}: {json.dumps(codes)}" for name, codes in rows.items())
        + "\n }"
        for kind, rows in found.items()
    ]
    weights = f' "weights": {json.dumps(hashes())}'
    BUNDLED.write_text("{\n" + ",\n".join([weights, *lines]) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
