"""The commands beside drawing: info, env, the trainers, and every help text."""

import json
import subprocess
import sys

import pytest
from cli_helpers import pictures

from ufc.cli.main import main


def test_info_reads_a_request_back(ufc, capsys):
    assert ufc("generate", "--prompt", "红 bag", "--seed", 1)[0] == 0
    [name] = pictures()
    assert main(["info", f"out/{name}"]) == 0
    text = capsys.readouterr().out
    assert "prompt: 红 bag" in text and "seed: 1" in text and "compliance: 0." in text
    assert main(["info", "--json", f"out/{name}"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["ufc_metadata"]["request"]["seed"] == 1 and data["ufc_blocks"]["grid"] == 4


def test_info_on_a_picture_that_says_nothing(photo, capsys):
    assert main(["info", str(photo)]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "holds no request" in captured.err


def test_env(capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_private")
    monkeypatch.setenv("UFC_DEVICE", "cpu")
    assert main(["env"]) == 0
    text = capsys.readouterr().out
    assert "torch" in text and "cpus" in text and "UFC_DEVICE cpu" in text
    assert main(["env", "--json"]) == 0
    output = capsys.readouterr().out
    assert json.loads(output)["packages"]["torch"] and "hf_private" not in text + output


def test_trainers_get_flags_over_recipes(tmp_path, monkeypatch, capsys):
    import vqgan.training.trainer

    seen = []
    monkeypatch.setattr(vqgan.training.trainer, "main", seen.append)
    recipe = tmp_path / "r.yaml"
    recipe.write_text("learning_rate: 1e-4\nresolution: 32\nch-mult: [1, 2, 4]\nseed: 3\n")
    code = main(
        [
            *("train-tokenizer", "--config", str(recipe), "--train-data-dir", "data"),
            *("--resolution", "64", "--train_batch_size", "2", "--freeze-encoder"),
            *("--resume-from-checkpoint", "latest", "--max-train-minutes", "1.5"),
        ]
    )
    assert code == 0, capsys.readouterr().err
    [config] = seen
    assert (config.learning_rate, config.resolution, config.seed) == (1e-4, 64, 3)
    assert (config.ch_mult, config.train_batch_size) == ((1, 2, 4), 2)
    assert (config.freeze_encoder, config.max_train_minutes) == (True, 1.5)
    assert (config.train_data_dir, config.resume_from_checkpoint) == ("data", "latest")


@pytest.mark.parametrize("command", ["generate", "edit", "train", "train-tokenizer", "info"])
def test_help(command, capsys):
    assert main([command, "--help"]) == 0
    assert "--help" in capsys.readouterr().out


def test_every_flag_that_users_are_told_of():
    """A flag that goes or changes its name breaks people's scripts."""
    from dataclasses import fields

    from ufc.cli.flags import GenerateFlags, control_flags, setting_flags

    names = {field.name for field in fields(GenerateFlags)} | {*control_flags(), *setting_flags()}
    assert names >= {
        "prompt",
        "negative_prompt",
        "lang",
        "reference_image",
        "image",
        "mask_image",
        "invert_mask",
        "preserve_blocks",
        "feather",
        "seed",
        "num_images_per_prompt",
        "num_inference_steps",
        "guidance_scale",
        "temperature",
        "num_candidates",
        "best_of",
        "order",
        "patience",
        "time_budget",
        "batch_size",
        "model",
        "revision",
        "model_dir",
        "local_files_only",
        "device",
        "dtype",
        "attention_backend",
        "deterministic",
        "prompts_file",
        "output_dir",
        "resume",
        "overwrite",
        "limit",
        "grid",
        "format",
        "no_metadata",
        "dry_run",
        "json",
        "quiet",
    }


def test_help_needs_no_torch():
    code = (
        "import sys\nfrom ufc.cli.main import main\nassert main(['generate', '--help']) == 0\n"
        "assert main([]) == 0 and main(['--version']) == 0\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
