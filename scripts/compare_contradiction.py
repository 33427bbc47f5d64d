"""TBCNN-pair against a bag of words, a sequence encoder and bare rules; its features left out.

    python scripts/compare_contradiction.py --train-data-dir DATA --val-data-dir HELD_OUT

Everything learns from the same pairs in the same order, with the same embeddings, judge and
number of steps; only what makes a vector of a text differs. Prints a table in Markdown: accuracy
of the overall verdict in percent, mean and standard error over seeds.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from estimators.contradiction.meaning import LABELS, OUTPUTS, Item, judge, read
from estimators.contradiction.model import (
    MATCHING,
    Batch,
    ContradictionConfig,
    ContradictionModel,
    FlatTree,
    TreeConvolution,
    flatten,
    known_words,
    spelling,
)
from estimators.contradiction.pairs import Pair, Style, with_value, write
from estimators.contradiction.training import (
    ContradictionTrainConfig,
    accuracy,
    held_out_pairs,
    labels_of,
    learn,
    make_optimizer,
    read_items,
    training_pairs,
)
from estimators.contradiction.trees import parse, units
from estimators.contradiction.verdicts import contradictions
from ufc.conditioning.text import normalise
from ufc_base.data.datasets import batch_indices
from ufc_base.training.loop import WeightAverage, learning_rate_scale

LOOSE = Path(__file__).parent.parent / "ufc" / "evaluation" / "unseen_prompts.jsonl"


class MeanOfWords(nn.Module):
    """The mean of what a layer makes of each word."""

    def __init__(self, config: ContradictionConfig) -> None:
        super().__init__()
        self.node = nn.Linear(config.embedding, config.channels)

    def forward(self, x_NE: Tensor, batch: Batch) -> Tensor:
        x_NC = torch.relu(self.node(x_NE))
        sums = x_NC.new_zeros(batch.count, x_NC.shape[1]).index_add(0, batch.trees_N, x_NC)
        return sums / torch.bincount(batch.trees_N, minlength=batch.count)[:, None]


class SequenceOfWords(nn.Module):
    """A bidirectional GRU over the words in their order, pooled by the maximum."""

    def __init__(self, config: ContradictionConfig) -> None:
        super().__init__()
        self.gru = nn.GRU(
            config.embedding, config.channels // 2, batch_first=True, bidirectional=True
        )

    def forward(self, x_NE: Tensor, batch: Batch) -> Tensor:
        lengths = torch.bincount(batch.trees_N, minlength=batch.count)
        padded = pad_sequence(x_NE.split(lengths.tolist()), batch_first=True)
        packed = nn.utils.rnn.pack_padded_sequence(
            padded, lengths, batch_first=True, enforce_sorted=False
        )
        states, _ = nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True)
        there = torch.arange(states.shape[1]) < lengths[:, None]
        return states.masked_fill(~there[..., None], -1).amax(1)


def sequence(text: str) -> FlatTree:
    """The words of a text in order, marks among them, none hanging on another."""
    words = tuple(map(spelling, units(text))) or ("<thing>",)
    return FlatTree(words, (-1,) * len(words), (-1,) * len(words))


def tree(text: str) -> FlatTree:
    return flatten(parse(text))


@dataclass(frozen=True)
class Contender:
    """A row of the table: how texts are read, what encodes them, and the matching features."""

    name: str
    reads: Callable[[str], FlatTree]
    encoder: Callable[[ContradictionConfig], nn.Module]
    matching: tuple[str, ...] = MATCHING


CONTENDERS = (
    Contender("TBCNN-pair", tree, TreeConvolution),
    Contender("bag of words, maximum", sequence, TreeConvolution),  # windows of one word
    Contender("bag of words, mean", sequence, MeanOfWords),
    Contender("GRU, both directions", sequence, SequenceOfWords),
    *(
        Contender(f"TBCNN-pair without {sign}", tree, TreeConvolution,
                  tuple(name for name in MATCHING if name != left_out))
        for left_out, sign in zip(MATCHING, ("h1", "h2", "h1 − h2", "h1 ∘ h2"), strict=True)
    ),
)  # fmt: skip


class Set:
    """Pairs as every contender reads them."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs, self.labels = pairs, labels_of(pairs)
        self.read = {
            reads: ([reads(p.prompt) for p in pairs], [reads(p.caption) for p in pairs])
            for reads in {contender.reads for contender in CONTENDERS}
        }

    def trees(self, reads: Callable[[str], FlatTree], indices: Sequence[int]) -> list[FlatTree]:
        asked, shown = self.read[reads]
        return [asked[i] for i in indices] + [shown[i] for i in indices]


def train(contender: Contender, pairs: Set, config: ContradictionTrainConfig) -> ContradictionModel:
    """The averaged model of a contender after the steps of the configuration."""
    torch.manual_seed(config.seed)
    sizes = ContradictionConfig(
        vocabulary=known_words(), embedding=config.embedding, channels=config.channels,
        hidden=config.hidden, matching=contender.matching,
    )  # fmt: skip
    model = ContradictionModel(sizes, contender.encoder(sizes))
    optimizer, average = make_optimizer(model, config), WeightAverage(model, config.ema_decay)
    for step in range(config.max_train_steps):
        indices = batch_indices(len(pairs.pairs), config.train_batch_size, step, config.seed)
        batch = model.words.assemble(pairs.trees(contender.reads, indices))
        scale = learning_rate_scale(step, config.lr_warmup_steps, step / config.max_train_steps)
        rate = config.learning_rate * scale
        if learn(model, optimizer, batch, pairs.labels[indices], rate, config.seed + step) is None:
            raise ValueError(f"{contender.name}: the loss is not finite at step {step}")
        average.update(model)
    model.load_state_dict(average.shadow)
    return model


def loose_pairs(path: Path, seed: int = 0) -> list[Pair]:
    """Prompts that people wrote, each with a caption that is right and one wrong in one thing."""
    rng, pairs = random.Random(seed), []
    values = {
        "colour": ("Black", "White", "Red", "Blue", "Green", "Pink", "Brown"),
        "type": ("Shirts", "Watches", "Handbags", "Heels", "Jeans", "Caps"),
        "gender": ("Men", "Women"),
    }
    for line in path.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        colour, gender = ((told[name],) if told[name] else () for name in ("colour", "gender"))
        asked = Item(told["type"], colour=colour, gender=gender)
        name = rng.choice([name for name in values if asked.values(name)])
        other = rng.choice([v for v in values[name] if (v,) != asked.values(name)])
        for item in (asked, with_value(asked, name, other)):
            caption = write([item], told["lang"], rng, Style(synonyms=False), plain=True)
            pairs.append(Pair(normalise(told["prompt"]), caption, judge([asked], [item])))
    return pairs


def rules(pairs: Sequence[Pair]) -> dict[str, float]:
    """Accuracy of comparing the lexicon's values on the trees, where nothing is learnt."""
    found = [judge(read(parse(pair.prompt)), read(parse(pair.caption))) for pair in pairs]
    return {
        name: statistics.fmean(f[name] == p.labels[name] for f, p in zip(found, pairs, strict=True))
        for name in OUTPUTS
    }


def with_rules(pairs: Sequence[Pair], model: ContradictionModel) -> tuple[float, float]:
    """Accuracy of a trained model's overall verdict, alone and behind the rules."""
    prompts, captions = [p.prompt for p in pairs], [p.caption for p in pairs]
    alone = model.probabilities(list(map(parse, prompts)), list(map(parse, captions)))
    best = alone[:, OUTPUTS.index("overall")].argmax(1).tolist()
    both = [found.overall.label for found in contradictions(prompts, captions, model)]
    wanted = [pair.labels["overall"] for pair in pairs]
    return (
        statistics.fmean(LABELS[b] == w for b, w in zip(best, wanted, strict=True)),
        statistics.fmean(b == w for b, w in zip(both, wanted, strict=True)),
    )


def commonest(pairs: Sequence[Pair]) -> float:
    """Accuracy of the commonest overall label."""
    labels = [pair.labels["overall"] for pair in pairs]
    return max(map(labels.count, LABELS)) / len(labels)


def mean_and_error(values: Sequence[float]) -> str:
    """Percent, with the standard error of the mean where there are several."""
    text = f"{100 * statistics.fmean(values):.1f}"
    if len(values) < 2:
        return text
    return f"{text} ± {100 * statistics.stdev(values) / len(values) ** 0.5:.1f}"


def table(results: dict[str, dict[str, list[float]]], sets: Sequence[str]) -> str:
    """Rows of Markdown."""
    lines = [f"| | {' | '.join(sets)} |", "| --- |" + " --- |" * len(sets)]
    for name, row in results.items():
        lines.append(f"| {name} | {' | '.join(mean_and_error(row[s]) for s in sets)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train-data-dir", required=True)
    parser.add_argument("--val-data-dir", required=True)
    parser.add_argument("--max-train-steps", type=int, default=1500)
    parser.add_argument("--pairs", type=int, default=40_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--model", help="a trained one, alone and behind the rules")
    parser.add_argument("--output", help="a JSON file for the figures of every seed")
    args = parser.parse_args(arguments)
    config = ContradictionTrainConfig(train_data_dir=args.train_data_dir)
    items = read_items(config, args.train_data_dir, "train")
    unseen = read_items(config, args.val_data_dir, "validation")
    sets = {name: Set(pairs) for name, pairs in held_out_pairs(unseen).items()}
    sets["loose"] = Set(loose_pairs(LOOSE))
    results: dict[str, dict[str, list[float]]] = {}
    for name, pairs in sets.items():
        results.setdefault("commonest label", {})[name] = [commonest(pairs.pairs)]
        results.setdefault("rules on trees", {})[name] = [rules(pairs.pairs)["overall"]]
    if args.model:
        trained = ContradictionModel.from_pretrained(args.model)
        for name, pairs in sets.items():
            alone, both = with_rules(pairs.pairs, trained)
            results.setdefault(args.model, {})[name] = [alone]
            results.setdefault(f"{args.model} behind the rules", {})[name] = [both]
    for seed in range(args.seeds):
        learning = Set(training_pairs(items, args.pairs, seed))
        for contender in CONTENDERS:
            model = train(
                contender,
                learning,
                ContradictionTrainConfig(
                    train_data_dir=args.train_data_dir, seed=seed,
                    max_train_steps=args.max_train_steps,
                ),
            )  # fmt: skip
            row = results.setdefault(contender.name, {})
            for name, pairs in sets.items():
                trees = pairs.trees(contender.reads, range(len(pairs.pairs)))
                right = accuracy(model, trees, pairs.labels)
                row.setdefault(name, []).append(right["overall"])
            sizes = sum(p.numel() for p in model.parameters())
            print(f"seed {seed}, {contender.name}, {sizes} parameters:",
                  {name: round(values[-1], 3) for name, values in row.items()},
                  file=sys.stderr, flush=True)  # fmt: skip
            if args.output:
                Path(args.output).write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(table(results, list(sets)))


if __name__ == "__main__":
    main()
