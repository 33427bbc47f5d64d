"""A free wish ("something warm for a rainy walk") rewritten as a caption, by a chat model.

The model is one of the reader's choice, a folder or a repository of the Hugging Face hub, loaded
with `transformers` (the extra `expand`); nothing else of this project needs it. What it answers is
a suggestion that is checked: where it is no short line, the wish itself is used.

A wish is data. In a chat's text some spellings are commands (`<|im_end|>` ends a turn), so those
are broken up in a wish, and the ids are counted afterwards.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from types import ModuleType
from typing import Any

import torch

from estimators.contradiction.trees import language_of
from ufc.conditioning.caption_language import LANGUAGES, CaptionLanguage
from ufc.conditioning.text import normalise
from ufc_base.checkpoint import CheckpointError
from ufc_base.training.processes import pick_device
from vqgan.perceptual import import_torchvision

MOST_LETTERS = 120  # of a caption; a tenth of that is usual
MOST_LETTERS_OF_WISH = 1000
CHATML_MARKS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
Message = dict[str, str]


@dataclass(frozen=True)
class Expansion:
    """A wish, the caption used for it (the wish itself where there is none), and a line on that."""

    wish: str
    prompt: str
    notice: str


ExpandPrompt = Callable[[str], "Expansion | str"]


def checked(wish: str, answer: str, finished: bool = True) -> Expansion:
    """The caption in an answer, or the wish where the answer is none.

    `finished` is false for an answer that was cut off, so that its one line may be half a line.
    """
    found = clean(answer)
    if not found:
        return unchanged(wish, "the answer is empty")
    if len(found) > MOST_LETTERS:
        return unchanged(wish, f"the answer has {len(found)} letters, more than {MOST_LETTERS}")
    if not finished and "\n" not in visible(answer).strip():
        return unchanged(wish, "the answer was cut off")
    return Expansion(wish, found, f"{wish!r} is expanded to {found!r}")


def unchanged(wish: str, why: str) -> Expansion:
    return Expansion(wish, wish, f"{wish!r} is used as it is: {why}")


def visible(answer: str) -> str:
    """An answer without what a model thinks aloud before it."""
    thought = re.sub(r"<think>.*?(</think>|\Z)", "", answer, flags=re.DOTALL)
    return thought.rpartition("</think>")[2]


def clean(answer: str) -> str:
    """The first line that says something, without label, bullet, quotation marks and full stop."""
    for line in visible(answer).splitlines():
        text = normalise(line.replace("\ufffd", ""))
        text = re.sub(r"^([-*•>#\s]|\d+[.)]\s)+", "", text)
        text = re.sub(r"^\**(caption|answer|标题|答案)\**\s*:\s*\**", "", text, flags=re.IGNORECASE)
        text = text.strip(" \"'`*").rstrip(".!").strip(" \"'`*")
        if text:
            return text
    return ""


def expand_all(
    prompts: Sequence[str | None], expand: ExpandPrompt | None
) -> tuple[list[str | None], list[list[str]]]:
    """Prompts with their wishes expanded, and notices, one list a prompt; equal wishes once."""
    known: dict[str, Expansion] = {}
    for prompt in prompts:
        if expand is None or not isinstance(prompt, str) or prompt in known:
            continue
        if normalise(prompt):
            answer = expand(prompt)
            known[prompt] = answer if isinstance(answer, Expansion) else checked(prompt, answer)
    found = [known.get(prompt or "") for prompt in prompts]
    return (
        [prompt if one is None else one.prompt for prompt, one in zip(prompts, found, strict=True)],
        [[] if one is None else [one.notice] for one in found],
    )


class PromptExpander:
    """A chat model and how it is asked. Called with a wish, it gives an `Expansion`.

    The same wish and seed give the same caption on the same machine, unless time runs out.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        seed: int = 0,
        temperature: float = 0.7,
        top_p: float = 0.9,
        max_new_tokens: int = 48,
        time_limit: float = 30.0,
        languages: Mapping[str, CaptionLanguage] | None = None,
    ) -> None:
        """A model and a tokenizer of `transformers`.

        Args:
            seed: of the sampling, where a call says no other.
            temperature: 0 takes the likeliest.
            top_p: share of the probability that is sampled from.
            max_new_tokens: the longest answer.
            time_limit: seconds for one answer.
            languages: what captions are like, by `en` and `zh`; those of the bundled models.
        """
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.seed = seed
        self.temperature = temperature
        self.top_p = top_p
        self.max_new_tokens = max_new_tokens
        self.time_limit = time_limit
        self.languages = LANGUAGES if languages is None else languages

    @classmethod
    def from_pretrained(
        cls,
        model: str | PathLike[str],
        *,
        revision: str | None = None,
        cache_dir: str | PathLike[str] | None = None,
        local_files_only: bool = False,
        device: str = "auto",
        **settings: Any,
    ) -> PromptExpander:
        """Load a folder or a repository of the hub: safetensors alone, and none of its code.

        `settings` are those of the constructor.

        Raises:
            ImportError: `transformers` is not installed.
            CheckpointError: there is no such model, or it is none that can be chatted with.
        """
        library = import_transformers()
        place = pick_device(device)
        where: dict[str, Any] = {
            "revision": revision,
            "cache_dir": cache_dir,
            "local_files_only": local_files_only,
            "trust_remote_code": False,
        }
        try:
            with hushed():
                tokenizer = library.AutoTokenizer.from_pretrained(str(model), **where)
                network = library.AutoModelForCausalLM.from_pretrained(
                    str(model), use_safetensors=True, **where
                )
        except ImportError:
            raise
        except Exception as error:  # libraries of many makers read these files
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise CheckpointError(
                f"{model} cannot be used to expand prompts ({said}): give a folder or a hub id of "
                "a chat model in safetensors, such as Qwen/Qwen2.5-0.5B-Instruct"
            ) from error
        if place.type == "cpu":
            network = network.float()  # half precision is emulated by many processors
        return cls(network.to(place), tokenizer, **settings)

    def __call__(self, wish: str) -> Expansion:
        return self.expand(wish)

    def expand(self, wish: str, seed: int | None = None, lang: str | None = None) -> Expansion:
        """The caption for a wish; `lang` is its language, where it is not to be seen from it."""
        if len(wish) > MOST_LETTERS_OF_WISH:
            return unchanged(wish, f"it has more than {MOST_LETTERS_OF_WISH} letters")
        rules = self.languages[lang or language_of(wish)].system_prompt()
        ids = self.chat(rules, neutralise(normalise(wish), self.marks()))
        if self.commands_in(ids) != self.commands_in(self.chat(rules, "x")):
            return unchanged(wish, "it has marks in it that are commands to the chat model")
        answer, finished = self.answer(ids, self.seed if seed is None else seed)
        return checked(wish, answer, finished)

    def marks(self) -> list[str]:
        """Spellings that the tokenizer takes for something else than text, longest first."""
        known = {*self.tokenizer.get_added_vocab(), *self.tokenizer.all_special_tokens}
        return sorted({mark for mark in known if mark.strip()} | set(CHATML_MARKS), key=len)[::-1]

    def commands_in(self, ids: Sequence[int]) -> list[int]:
        """Those of the ids that stand for marks, in their order."""
        added = self.tokenizer.get_added_vocab()
        marks = {number for text, number in added.items() if text.strip()}
        marks |= set(self.tokenizer.all_special_ids)
        return [number for number in ids if number in marks]

    def chat(self, rules: str, wish: str) -> list[int]:
        """A chat of rules and wish as ids, up to where the answer begins.

        By the template that comes with the tokenizer, or ChatML where none does.
        """
        messages = [{"role": "system", "content": rules}, {"role": "user", "content": wish}]
        try:
            text = self.render(messages)
        except Exception as error:  # jinja2's, raised by templates that know no system's turn
            if type(error).__name__ != "TemplateError":
                raise
            text = self.render([{"role": "user", "content": f"{rules}\n\n{wish}"}])
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def render(self, messages: list[Message]) -> str:
        template = getattr(self.tokenizer, "chat_template", None)
        rendered: str = self.tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=True,
            chat_template=None if template else CHATML,
            enable_thinking=False,  # templates that have no such switch pass it over
        )
        return rendered

    @torch.inference_mode()
    def answer(self, ids: Sequence[int], seed: int) -> tuple[str, bool]:
        """What the model says to a chat, and whether it came to an end by itself."""
        device = self.model.device
        prompt = torch.tensor([list(ids)], device=device)
        ends = self.ends()
        sampling: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None}
        if self.temperature > 0:
            sampling = {"do_sample": True, "temperature": self.temperature, "top_p": self.top_p}
        started = time.monotonic()
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            out = self.model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=self.max_new_tokens,
                max_time=self.time_limit,
                eos_token_id=ends,
                pad_token_id=ends[0],
                **sampling,
                top_k=None,
            )[0, prompt.shape[1] :].tolist()
        finished = bool(out) and out[-1] in ends
        if not finished and time.monotonic() - started > self.time_limit:
            return "", False
        return str(self.tokenizer.decode(out, skip_special_tokens=True)), finished

    def ends(self) -> list[int]:
        """Ids that end an answer; never none."""
        own = self.model.generation_config.eos_token_id
        found = {self.tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])}
        vocabulary = self.tokenizer.get_added_vocab()
        found |= {vocabulary.get(mark) for mark in CHATML_MARKS[1:]}
        return sorted(number for number in found if number is not None) or [0]


def import_transformers() -> ModuleType:
    """Import `transformers`, which looks at torchvision where there is one: by its one door.

    Raises:
        ImportError: `transformers` is not installed, or a torchvision does not match torch.
    """
    if importlib.util.find_spec("torchvision") is not None:
        import_torchvision()
    return importlib.import_module("transformers")


def neutralise(wish: str, marks: Sequence[str]) -> str:
    """The wish with a space within each mark, so that it is read as the text it is."""
    for _ in range(3):  # taking one apart may, oddly made, put another together
        for mark in marks:
            wish = wish.replace(mark, f"{mark[0]} {mark[1:]}" if len(mark) > 1 else " ")
    return wish


@contextmanager
def hushed() -> Iterator[None]:
    """No bars and warnings of `transformers` while a model is loaded."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
