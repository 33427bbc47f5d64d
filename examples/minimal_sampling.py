"""The whole method in one page: words in, a picture out, by MaskGIT's rule (Chang et al. 2022).

    python examples/minimal_sampling.py "women's red handbag" handbag.png
    python examples/minimal_sampling.py --smoke          # two steps: does it run?

The program does the same with more orders, scores, candidates and controls; `ufc/sampling/loop.py`
is its loop. A cell of the bundled model has a code of each of two codebooks, which count as one
joint code. Shapes: T cells of the grid, V codes of a codebook.
"""

import argparse
import math
import sys
from collections.abc import Sequence

import torch

from ufc import UFCPipeline
from ufc.conditioning.sequence import ControlItem
from ufc.io.hub import DEFAULT_MODEL
from ufc.sampling.guidance import make_prefix
from vqgan.quantizer import join_codes

STEPS, GUIDANCE, CHOICE_TEMPERATURE = 18, 4.0, 4.5


@torch.no_grad()
def sample(prompt: str, file: str, seed: int, model_name: str, steps: int) -> None:
    pipeline = UFCPipeline.from_pretrained(model_name, dtype="fp32", device="cpu")
    model, generator = pipeline.transformer, torch.Generator().manual_seed(seed)
    rows, columns = pipeline.grid_size
    cells, mask = rows * columns, model.config.codes

    # The conditioning is run once; every step attends to its keys and values.
    words = make_prefix(model, [ControlItem(pipeline.encode_text(prompt, []))])
    nothing = make_prefix(model, [ControlItem()])

    codes_T = torch.full((cells,), mask)
    confidence_T = torch.zeros(cells)
    for step in range(steps):
        masked_T = codes_T == mask

        # Predict every masked cell at once, with classifier-free guidance on the final states.
        hidden = [model(codes_T[None], controls).target[0] for controls in (words, nothing)]
        states = model.code_states(torch.lerp(hidden[1], hidden[0], GUIDANCE))

        # Sample the codes of each cell, one codebook after another, and how sure the model was.
        told, sure_T = [], torch.ones(cells)
        for book in range(states.codebooks):
            logits_TV = states.after(torch.stack(told, 1)) if told else states.first
            p_TV = logits_TV.softmax(-1)
            code_T = torch.multinomial(p_TV, 1, generator=generator)
            sure_T = sure_T * p_TV.gather(1, code_T)[:, 0]
            told.append(code_T[:, 0] + book * states.size)
        sampled_T = join_codes(torch.stack(told, 1), states.size)
        codes_T = torch.where(masked_T, sampled_T, codes_T)
        confidence_T = torch.where(masked_T, sure_T, confidence_T)

        # Mask the least sure of the new cells again; fewer every step, by a cosine.
        left = int(math.cos(math.pi / 2 * (step + 1) / steps) * cells)
        gumbel_T = -torch.rand(cells, generator=generator).clamp_min(1e-9).log().neg().log()
        noise_T = CHOICE_TEMPERATURE * (1 - (step + 1) / steps) * gumbel_T
        keys_T = (confidence_T.log() + noise_T).masked_fill(~masked_T, math.inf)
        if step < steps - 1:
            codes_T[keys_T.topk(max(1, left), largest=False).indices] = mask

    pipeline.decode_pil(codes_T[None])[0].save(file)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("prompt", nargs="?", default="women's red handbag")
    parser.add_argument("file", nargs="?", default="handbag.png", help="where the picture goes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or folder of the model")
    parser.add_argument("--smoke", action="store_true", help="two steps")
    flags = parser.parse_args(arguments)
    sample(flags.prompt, flags.file, flags.seed, flags.model, 2 if flags.smoke else STEPS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
