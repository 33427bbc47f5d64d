"""Settings of the second stage's training."""

from __future__ import annotations

from dataclasses import dataclass

from ufc.training.lexicon.mixture import LEXICON, PARAPHRASES, refuse_share
from ufc_base.settings import LoopSettings, setting

PROMPTS = (
    "men's navy blue striped polo t-shirt",
    "women's red handbag",
    "brown leather shoes for men",
    "女士粉色上衣",
    "男士黑色手表",
    "yellow kurta for women",
)


@dataclass
class TrainConfig(LoopSettings):
    """Flags of `ufc train`; the sizes default to the bundled model's."""

    tokenizer: str | None = setting(None, "Tokenizer folder, or a model to take it from.")
    picture_scale: float = setting(
        1.0, "Learn from pictures of this share of the tokenizer's size; 0.5 is four times as fast."
    )
    width: int = setting(256, "Width of the hidden states.")
    depth: int = setting(6, "Blocks.")
    heads: int = setting(4, "Attention heads.")
    feed_forward: int = setting(704, "Width inside the SwiGLU.")
    ffn: str | None = setting(
        None,
        "dense, or moe (sparse experts); if not said, that of --init-from, else dense.",
    )
    experts: int = setting(4, "With --ffn moe: experts of a block.", 1)
    prototypes: int = setting(
        1, "Groups of experts; a token sees one expert of each. Experts are a multiple.", 1
    )
    capacity_factor: float | None = setting(
        None,
        "Tokens an expert takes, over its even share; if not said, that of --init-from, else 1.25.",
    )
    balance_weight: float | None = setting(
        None, "Weight of the experts' balance loss; if not said, that of --init-from, else 0."
    )
    dropout: float | None = setting(
        None, "Dropout after attention and SwiGLU; if not said, that of --init-from, else 0."
    )
    control_attention: str | None = setting(
        None,
        "prefix (controls are run once) or full; if not said, that of --init-from, else prefix.",
    )
    attention_backend: str = setting("auto", "auto, xformers, sdpa or math.")
    compile: bool = setting(
        False, "Let torch.compile write the blocks' code; pays on a CPU in runs over ten minutes."
    )
    text_vocabulary: int = setting(2000, "Ids of the text tokenizer.")
    new_vocabulary: bool = setting(
        False, "With --init-from: learn the words of these data anew, from what is known of them."
    )
    paraphrase_share: float = setting(0.0, PARAPHRASES)
    lexicon: str | None = setting(None, LEXICON)
    augmentations: int = setting(2, "Augmented versions of a picture to serve as references.", 0)
    other_shapes: float = setting(
        0.0, "Share of the steps that see squares, and pictures with height and width exchanged."
    )
    neighbour_keys: tuple[str, ...] = setting(
        ("type", "colour", "gender"), "Fields that pictures share to be each other's reference."
    )
    weight_decay: float = setting(0.03, "Weight decay of the matrices.")
    label_smoothing: float = setting(0.01, "Share of a label spread over all codes.")
    alike_codes: int = setting(16, "Codes that share a label because they look alike; 1 is off.")
    code_weight: float = setting(
        1.0,
        "Weight of the masked codes' loss; 0 to learn other --objectives or --tasks alone.",
        0,
    )
    text_weight: float = setting(0.1, "Weight of the masked words' loss.")
    estimator_weight: float = setting(0.25, "Weight of the estimators' losses.")
    autoregressive_share: float = setting(
        0.25, "Share of the samples that also learn code by code, if autoregressive has a weight."
    )
    text_only: float = setting(
        0.0, "Share of the samples without references whose words are masked and have to be told."
    )
    tasks: str | None = setting(
        None, "YAML file with a mixture of instructions to learn; see docs/instructions.md."
    )
    text_target_weight: float = setting(0.3, "With --tasks: weight of the loss of told texts.")
    grounding_weight: float = setting(0.3, "With --tasks: weight of the loss of found blocks.")
    estimators: tuple[str, ...] = setting(
        ("compliance", "fidelity"), "Estimators of the model, by name."
    )
    objectives: tuple[str, ...] = setting(
        (), "Further objectives and their weights, as name=0.5; see ufc/training/objectives."
    )
    estimator_start: float = setting(0.3, "Share of the run after which estimators learn.")
    estimator_steps: int = setting(6, "Steps between theirs.")
    estimator_samples: int = setting(8, "Samples of a step they learn from.")
    estimator_pictures: int = setting(
        4, "Pictures generated for each of them, kept in the replay buffer."
    )
    validation_prompts: tuple[str, ...] = setting(
        PROMPTS, "Prompts whose pictures are generated at each validation."
    )

    lora_rank: int = setting(
        0, "With --init-from: learn a low-rank adapter of this rank (LoRA), not the model.", 0
    )
    lora_alpha: float | None = setting(
        None, "What the adapter adds is scaled by this over the rank (the rank)."
    )
    lora_layers: tuple[str, ...] = setting(
        ("qkv", "out", "gate_up", "down"), "Layers of a block that the adapter is in."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lora_rank:
            self.check_adapter()
        refuse_share(self.paraphrase_share, self.lexicon)
        if not 0 <= self.other_shapes <= 1:
            raise ValueError(f"other_shapes is {self.other_shapes}, wanted a share from 0 to 1")
        if not 0 < self.picture_scale <= 1:
            raise ValueError(
                f"picture_scale: got {self.picture_scale}, wanted more than 0, at most 1"
            )

        if self.sharding == "fsdp" and self.objective_weights().get("iais"):
            raise ValueError(
                "objectives: iais looks at a block's attention by itself, which sharded weights do "
                "not allow; leave it out, or give --sharding ddp"
            )

    def check_adapter(self) -> None:
        """Raise `ValueError` for what an adapter cannot learn."""
        if self.init_from is None:
            raise ValueError(
                "lora_rank: an adapter is of a model; give --init-from, such as fashion-192x256"
            )
        for name, given in (
            ("new_vocabulary", self.new_vocabulary),
            ("tasks", self.tasks),
            ("sharding fsdp", self.sharding == "fsdp"),
        ):
            if given:
                raise ValueError(
                    f"lora_rank: goes without {name}; train the whole model, or leave it out"
                )

    def objective_weights(self) -> dict[str, float]:
        """The objectives beside the masked codes and their weights.

        Raises:
            ValueError: one is not written as name=weight.
        """
        weights = {"masked-words": self.text_weight, "estimators": self.estimator_weight}
        if self.lora_rank:  # the estimators stay as they are, and so do words
            weights = dict.fromkeys(weights, 0.0)
        if self.tasks:
            weights["text-targets"] = self.text_target_weight
            weights["grounded-blocks"] = self.grounding_weight
        for text in self.objectives:
            name, equals, weight = text.partition("=")
            try:
                weights[name.strip()] = float(weight if equals else "")
            except ValueError:
                raise ValueError(f"objectives: got {text!r}, wanted name=weight") from None
        weights["experts"] = weights.pop("experts", 1.0)  # last: it tells of all passes of a step
        return weights

    @property
    def autoregressive(self) -> bool:
        """Whether the model is to generate autoregressively, too."""
        return self.objective_weights().get("autoregressive", 0.0) > 0
