"""What the bundled model can do, in eleven pictures: `python -m ufc.showcase --output-dir DIR`.

Eight prompts in English and Chinese; then a prompt with a reference image, a prompt with blocks
of an image kept, and all three at once. Reference and base image are pictures of the same run.
"""

from __future__ import annotations

import html
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ufc.io.hub import DEFAULT_MODEL
from ufc_base.entry import write_line
from ufc_base.program import option, program

if TYPE_CHECKING:
    from PIL import Image

    from ufc.pipeline import UFCPipeline
    from ufc.pipeline_output import PipelineOutput

PROMPTS = (
    "men's navy blue striped polo t-shirt",
    "women's red casual handbag",
    "men's brown leather formal shoes",
    "women's purple printed kurta",
    "女士粉色条纹休闲毛衣",
    "男士蓝色休闲牛仔裤",
    "男士绿色格纹休闲衬衫",
    "女士黑色休闲高跟鞋",
)


@dataclass(frozen=True)
class Shot:
    """One picture of the showcase and what it was made from."""

    file_name: str
    caption: str
    image: Image.Image
    compliance: float | None
    fidelity: float
    seconds: float


def take(pipeline: UFCPipeline, folder: Path, name: str, caption: str, **controls: object) -> Shot:
    """Generate one picture and write it."""
    out: PipelineOutput = pipeline(**controls)  # type: ignore[arg-type]
    out.images[0].save(folder / f"{name}.png")
    return Shot(
        f"{name}.png", caption, out.images[0], out.compliance[0], out.fidelity[0], out.seconds
    )


def upper_half(rows: int, columns: int) -> list[int]:
    """Blocks of the upper half of a grid."""
    return list(range(columns * (rows // 2)))


def run(pipeline: UFCPipeline, folder: Path, seed: int) -> list[Shot]:
    """All pictures of the showcase, each written as soon as it is generated."""
    folder.mkdir(parents=True, exist_ok=True)
    shots = []

    def shoot(name: str, caption: str, **controls: object) -> Image.Image:
        shot = take(pipeline, folder, name, caption, seed=seed, **controls)
        shots.append(shot)
        write_line(sys.stdout, describe(shot))
        return shot.image

    for number, prompt in enumerate(PROMPTS, 1):
        shoot(f"{number:02d}-words", prompt, prompt=prompt)
    shirt, bag = shots[0].image, shots[1].image
    keep = upper_half(*pipeline.grid_size)
    shoot(
        "09-words-reference",
        "women's handbag + reference 02",
        prompt="women's handbag",
        reference_images=[bag],
    )
    shoot(
        "10-words-blocks",
        "men's casual t-shirt + upper half of 01 kept",
        prompt="men's casual t-shirt",
        image=shirt,
        preserve_blocks=keep,
    )
    shoot(
        "11-words-reference-blocks",
        "men's t-shirt + reference 07 + upper half of 01 kept",
        prompt="men's t-shirt",
        reference_images=[shots[6].image],
        image=shirt,
        preserve_blocks=keep,
    )
    return shots


def describe(shot: Shot) -> str:
    """One line on a picture."""
    compliance = "    " if shot.compliance is None else f"{shot.compliance:.2f}"
    return (
        f"{shot.file_name:<32} compliance {compliance}  fidelity {shot.fidelity:.2f}  "
        f"{shot.seconds:.2f} s  {shot.caption}"
    )


def write_page(shots: list[Shot], folder: Path) -> Path:
    """`index.html`: the pictures with their captions, scores and times."""
    figures = "".join(
        f'<figure><img src="{shot.file_name}" alt="{html.escape(shot.caption)}">'
        f"<figcaption>{html.escape(shot.caption)}<br>"
        + ("" if shot.compliance is None else f"compliance {shot.compliance:.2f} · ")
        + f"fidelity {shot.fidelity:.2f} · {shot.seconds:.2f} s</figcaption></figure>"
        for shot in shots
    )
    page = folder / "index.html"
    page.write_text(
        "<!doctype html><meta charset=utf-8><title>UFC-BERT</title><style>"
        "body{font:15px system-ui;margin:2rem;display:flex;flex-wrap:wrap;gap:1.5rem}"
        "figure{margin:0;width:192px}img{width:192px;border:1px solid #ddd}"
        "figcaption{margin-top:.4rem;line-height:1.35}</style>" + figures,
        encoding="utf-8",
    )
    return page


@dataclass(kw_only=True)
class Flags:
    output_dir: Annotated[Path, option("Where to write (outputs/showcase).")] = Path(
        "outputs/showcase"
    )
    model: Annotated[str, option("A bundled name, folder or hub id.")] = DEFAULT_MODEL
    seed: Annotated[int, option("Of every picture (1).")] = 1


def show(flags: Flags) -> str:
    """Generate the showcase; returns where it is."""
    started = time.monotonic()
    from ufc.io.contact_sheet import contact_sheet
    from ufc.pipeline import UFCPipeline

    pipeline = UFCPipeline.from_pretrained(flags.model)
    pipeline.set_progress_bar_config(disable=True)
    loading = time.monotonic() - started
    write_line(sys.stdout, f"{pipeline.name} loaded in {loading:.1f} s")
    shots = run(pipeline, flags.output_dir, flags.seed)
    sheet = contact_sheet([shot.image for shot in shots], columns=4)
    sheet.save(flags.output_dir / "sheet.png")
    return f"all {len(shots)} pictures: {write_page(shots, flags.output_dir)}"


main = program("python -m ufc.showcase", __doc__, {"": (Flags, show, "")})

if __name__ == "__main__":
    sys.exit(main())
