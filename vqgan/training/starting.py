"""What a run of the first stage begins with: a fresh model, or one to go on from."""

from __future__ import annotations

from dataclasses import replace

from ufc_base.checkpoint import CheckpointError, read_json
from vqgan.model import VQGAN, VQGANConfig, tokenizer_folder
from vqgan.training.config import TokenizerTrainConfig


def start_model(config: TokenizerTrainConfig) -> VQGAN:
    """A fresh model, or the one to go on from, alone or in a whole model; it brings its own sizes.

    Raises:
        ValueError: sizes that do not go together, or an encoder to freeze that has learnt nothing.
        CheckpointError: there is none, or its pictures are of another size than the run's.
    """
    if not config.init_from:
        if config.freeze_encoder:
            raise ValueError("freeze_encoder trains the decoder of a tokenizer: give --init-from")
        return VQGAN(config.model_config())
    model = VQGAN.from_pretrained(tokenizer_folder(config.init_from))
    if model.config.size != config.size:
        (own_height, own_width), (height, width) = model.config.size, config.size
        raise CheckpointError(
            f"{config.init_from} is for pictures of {own_width} x {own_height} pixels, the run's "
            f"have {width} x {height}: give --height {own_height} --width {own_width}"
        )
    model.config = replace(model.config, fit=config.fit or model.config.fit)
    return model


def with_fit(config: TokenizerTrainConfig) -> TokenizerTrainConfig:
    """The config with how pictures get their shape: as is said, or as the model to go on from had.

    Raises:
        CheckpointError: there is none, or it is unsound.
    """
    if config.fit is not None or not config.init_from:
        return config
    own = read_json(tokenizer_folder(config.init_from) / "config.json")
    return replace(config, fit=VQGANConfig.from_dict(own).fit)
