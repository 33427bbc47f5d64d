"""Pictures to codes and back, words to ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ufc.conditioning.frame import Frame
from ufc.io.serialisation import UPSCALER
from ufc.io.validation import RequestError
from ufc.pipeline.placement import Placement
from ufc_base.computing.thread_pool import temporary_thread_pool
from ufc_base.images import to_pil, to_tensor
from ufc_base.profiles import to_srgb
from vqgan.upscaling.model import SCALE, Upscaler


class Shortened(str):
    """The notice that a text was too long, and its facts, for who says it in words of their own.

    Attributes:
        what: was shortened: `prompt`, `negative prompt`, or the name of a control.
        tokens: how many it has.
        most: how many of them were used.
        kept: the words of these.
    """

    what: str
    tokens: int
    most: int
    kept: str

    @classmethod
    def of(cls, what: str, tokens: int, most: int, kept: str) -> Shortened:
        """The notice in one line, with its facts."""
        notice = cls(f"{what} has {tokens} tokens, used the first {most}: {kept!r}")
        notice.what, notice.tokens, notice.most, notice.kept = what, tokens, most, kept
        return notice


class Coding(Placement):
    """What tokenizer and words' tokenizer do, and the upscaler."""

    def encode_text(
        self, prompt: str | None, notices: list[str], what: str = "prompt"
    ) -> list[int]:
        """Ids of a prompt; too long a one is shortened, and the notices say `what` was."""
        if not prompt:
            return []
        ids, most = self.text.encode_all(prompt), self.text.max_tokens
        if len(ids) > most:
            notices.append(Shortened.of(what, len(ids), most, self.text.decode(ids[:most])))
        return ids[:most]

    @temporary_thread_pool()
    @torch.no_grad()
    def encode_prompt(self, prompt: str | Sequence[str]) -> Tensor:
        """Words as the vectors that the transformer sees, (B, T, D), for `prompt_embeds`.

        Shorter prompts have rows of zeros at their end. The vectors may be weighted, mixed or
        moved; where a prompt is cut, nothing says so.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        embed, device = self.transformer.embed, self.transformer.embedding.weight.device
        found = [
            embed(torch.tensor(self.text.encode(one), dtype=torch.int64, device=device)).cpu()
            for one in prompts
        ]
        return pad_sequence(found, batch_first=True)

    def check_embeds(self, name: str, vectors_TD: Tensor | None) -> None:
        """Raise `RequestError` for vectors that are no words of this model, or too many."""
        width, most = self.transformer.config.width, self.text.max_tokens
        if vectors_TD is None or (vectors_TD.shape[1] == width and len(vectors_TD) <= most):
            return
        raise RequestError(
            f"{name}: got {len(vectors_TD)} vectors of {vectors_TD.shape[1]} numbers, wanted at "
            f"most {most} of {width}, as encode_prompt of this model gives them"
        )

    @torch.no_grad()
    def encode(self, pictures: Sequence[Image.Image], frame: Frame | None = None) -> Tensor:
        """Codes of pictures, each fitted into a frame, the trained one if none is given.

        Returns (B, rows, columns) on the CPU.
        """
        fit = (frame or self.frames.default).fit
        return self.encode_pixels(to_tensor([to_srgb(fit(picture)) for picture in pictures]))

    def encode_reference(self, picture: Image.Image) -> Tensor:
        """Codes of a picture in the grid that suits its proportions, (rows, columns)."""
        fitted = to_srgb(self.frames.choose(picture.size).fit(picture))
        return self.encode_once(to_tensor(fitted))[0]

    def encode_once(self, pixels_BCHW: Tensor) -> Tensor:
        """`encode_pixels`, or what came of it for the same pixels before."""
        return self.encoded.get(pixels_BCHW, self.encode_pixels)

    @torch.no_grad()
    def encode_pixels(self, pixels_BCHW: Tensor) -> Tensor:
        """Codes of pixels in -1..1, (B, 3, H, W) in whole blocks: (B, rows, columns) on the CPU."""
        with self.at_work(self.tokenizer):
            parts = [self.tokenizer.encode(x.to(self.device)) for x in self.portions(pixels_BCHW)]
            return joined(parts).cpu()

    @torch.no_grad()
    def decode(self, codes_BT: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """Pixels of codes, (B, 3, H, W) in -1..1 on the CPU; masked cells are decoded as code 0.

        The codes are of a `grid` of (rows, columns), the trained one if none is given.
        """
        codes = codes_BT.masked_fill(codes_BT >= self.tokenizer.config.codes, 0)
        grids = self.portions(codes.view(-1, *(grid or self.grid_size)))
        with self.at_work(self.tokenizer):
            return joined([self.tokenizer.decode(x.to(self.device)).float().cpu() for x in grids])

    def decode_pil(self, codes: Any, grid: tuple[int, int] | None = None) -> list[Image.Image]:
        """Pictures of codes as a call returns them, (B, T) as a tensor or lists; see `decode`."""
        with temporary_thread_pool():
            return to_pil(self.decode(torch.as_tensor(codes), grid))

    def check_upscale(self, upscale: int | None) -> None:
        """Raise `RequestError` where pictures are to be enlarged and nothing here can."""
        if (upscale or 1) > 1 and self.upscaler is None:
            raise RequestError(
                f"upscale: got {upscale}, and the model {self.name} has no upscaler; leave it out, "
                f"or put what `ufc train-upscaler` wrote (config.json and model.safetensors) into "
                f"{UPSCALER}/ of the model's folder"
            )

    @torch.no_grad()
    def enlarge(self, pixels_BCHW: Tensor) -> Tensor:
        """Pixels in -1..1 on the CPU, (B, 3, H, W), at twice the size by the upscaler.

        Raises:
            RequestError: the model has none.
        """
        self.check_upscale(SCALE)
        upscaler = cast("Upscaler", self.upscaler)
        with self.at_work(upscaler):
            return joined(
                [
                    upscaler.enlarge(x.to(self.device)).float().cpu()
                    for x in self.portions(pixels_BCHW)
                ]
            )


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Parts of a batch as a whole; a single one as it is."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
