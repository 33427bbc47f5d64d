"""A chat model of a few thousand weights that has learnt to answer two wishes, one a language."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ufc.conditioning.caption_language import LANGUAGES, CaptionLanguage
from ufc.conditioning.expansion import CHATML, PromptExpander, hushed, import_transformers

ANSWERS = {"something warm": "red bag", "暖和的": "黑色手表"}
SHORT = {
    name: CaptionLanguage("Caption:", {}, "{wish}: {caption}", (("a", "b"),)) for name in LANGUAGES
}
MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def tiny_tokenizer(with_template: bool = True) -> Any:
    """Byte-level BPE with ChatML's marks, as Qwen's is."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=MARKS,
        show_progress=False,
    )
    tokenizer.train_from_iterator([*ANSWERS, *ANSWERS.values()] * 4, trainer)
    made = import_transformers().PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
    )
    made.add_tokens(["<think>", "</think>"])
    if with_template:
        made.chat_template = CHATML
    return made


def tiny_network(size: int, seed: int = 0) -> Any:
    library = import_transformers()
    torch.manual_seed(seed)
    return library.Qwen2ForCausalLM(
        library.Qwen2Config(
            vocab_size=size,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=4096,
            eos_token_id=2,
            bos_token_id=None,
        )
    ).eval()


def learn(expander: PromptExpander, most_steps: int = 200) -> None:
    """Teach the answers, in the chats that the expander will ask in."""
    network, tokenizer = expander.model, expander.tokenizer
    chats = []
    for wish, answer in ANSWERS.items():
        rules = expander.languages["zh" if wish == "暖和的" else "en"].system_prompt()
        asked = expander.chat(rules, wish)
        told = tokenizer(answer + "<|im_end|>", add_special_tokens=False)["input_ids"]
        chats.append((asked, told))
    most = max(len(asked) + len(told) for asked, told in chats)
    ids, labels = torch.zeros(2, len(chats), most, dtype=torch.int64)
    labels.fill_(-100)
    for row, (asked, told) in enumerate(chats):
        ids[row, : len(asked) + len(told)] = torch.tensor(asked + told)
        labels[row, len(asked) : len(asked) + len(told)] = torch.tensor(told)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(most_steps):
        loss = network(ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if float(loss.detach()) < 0.02:
            break


def write_chat_model(folder: Path) -> Path:
    """A model folder as `transformers` writes it, that has learnt answers to chats by `SHORT`."""
    tokenizer = tiny_tokenizer()
    network = tiny_network(len(tokenizer))
    learn(PromptExpander(network, tokenizer, languages=SHORT))
    with hushed():
        network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
