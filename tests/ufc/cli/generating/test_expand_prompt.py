"""`--expand-prompt`: the caption is shown, used and stored, and the model is asked once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli_helpers import manifest, one_line, pictures, write
from PIL import Image

from ufc.conditioning import expansion
from ufc.conditioning.expansion import PromptExpander
from ufc.io.png.metadata import read_metadata
from ufc.io.prompts_file import read_rows
from ufc.io.validation import RequestError
from ufc.pipeline import UFCPipeline
from ufc.request import Request


def test_a_wish_is_generated_as_its_caption_and_again_without_the_model(
    ufc, chat_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toy_chat import SHORT

    monkeypatch.setattr(expansion, "LANGUAGES", SHORT)
    wish = ("generate", "--prompt", "something warm", "--seed", 4, "--num-images-per-prompt", 2)
    code, _, err = ufc(*wish, "--expand-prompt", chat_model)
    assert code == 0 and err.count("'something warm' is expanded to 'red bag'") == 1
    for row in manifest():
        assert (row["prompt"], row["expanded_prompt"]) == ("something warm", "red bag")
        assert row["expand_prompt"] == str(chat_model)
    names = list(pictures())
    assert names[0] == "something-warm-4-0.png"
    stored = (read_metadata(f"out/{names[0]}").request or {})["request"]
    assert (stored["prompt"], stored["expanded_prompt"]) == ("something warm", "red bag")
    assert stored["expand_prompt"] == chat_model.name  # no path of this machine

    assert ufc(*wish[:1], "--prompt", "red bag", *wish[3:], output_dir="plain")[0] == 0
    plain = [Image.open(f"plain/{name}").tobytes() for name in pictures("plain")]
    assert [Image.open(f"out/{name}").tobytes() for name in names] == plain

    def gone(*_: Any, **__: Any) -> None:
        raise AssertionError("the chat model is not needed")

    monkeypatch.setattr(PromptExpander, "from_pretrained", gone)
    for source in ("out/manifest.jsonl", f"out/{names[0]}"):
        code, _, err = ufc("generate", "--prompts-file", source, "--overwrite", output_dir="again")
        assert code == 0
    assert pictures("again")[names[1]] == pictures()[names[1]]
    (tmp_path / "out" / names[1]).unlink()
    code, _, err = ufc(*wish, "--expand-prompt", chat_model, "--resume")
    assert code == 0 and "1 generated, 1 done before" in err


def test_lines_of_a_prompts_file_name_the_model(
    ufc, chat_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toy_chat import SHORT

    monkeypatch.setattr(expansion, "LANGUAGES", SHORT)
    lines = write(
        tmp_path / "p.jsonl",
        {"prompt": "暖和的", "expand_prompt": str(chat_model), "seed": 1},
        {"prompt": "red bag", "seed": 1},
        {"prompt": "a wish", "expand_prompt": "none/there", "expanded_prompt": "blue shirt"},
    )
    code, _, err = ufc("generate", "--prompts-file", lines)
    assert code == 0 and "p.jsonl, line 1: '暖和的' is expanded to '黑色手表'" in err
    assert [row.get("expanded_prompt") for row in manifest()] == ["黑色手表", None, "blue shirt"]


def test_the_flag_fills_in_what_lines_leave_open(
    ufc, chat_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toy_chat import SHORT

    monkeypatch.setattr(expansion, "LANGUAGES", SHORT)
    lines = write(tmp_path / "wishes.txt", "something warm", "red bag")
    code, _, err = ufc(
        "generate", "--prompts-file", lines, "--seed", 1, "--expand-prompt", chat_model
    )
    assert code == 0 and "wishes.txt, line 1: 'something warm' is expanded to 'red bag'" in err
    assert [row["expand_prompt"] for row in manifest()] == [str(chat_model)] * 2


def test_an_edit_has_the_flag_and_a_dry_run_shows_the_caption(
    ufc, chat_model: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toy_chat import SHORT

    monkeypatch.setattr(expansion, "LANGUAGES", SHORT)
    edit = ("edit", "--image", photo, "--preserve-blocks", "0-3", "--prompt", "something warm")
    code, out, _ = ufc(*edit, "--expand-prompt", chat_model, "--dry-run", "--json")
    assert code == 0 and '"expanded_prompt": "red bag"' in out
    assert not Path("out").exists()


def test_what_cannot_be_expanded_is_one_line(ufc, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("transformers")
    wish = ("generate", "--prompt", "something warm", "--seed", 1)
    code, _, err = ufc(*wish, "--expand-prompt", tmp_path, "--local-files-only")
    assert code != 0 and one_line(err) and "cannot be used to expand prompts" in err
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    code, _, err = ufc(*wish, "--expand-prompt", tmp_path)
    assert code == 2 and "several processes cannot agree" in err


def test_a_text_file_may_say_it_too(tmp_path: Path) -> None:
    lines = write(tmp_path / "p.txt", "something warm --expand_prompt some/model --seed 3")
    request = read_rows(lines)[0].request
    assert (request.prompt, request.expand_prompt) == ("something warm", "some/model")
    with pytest.raises(RequestError, match="needs the prompt it is made from"):
        Request(expanded_prompt="red bag", image="a.png", preserve_blocks=(1,))


def test_a_call_takes_any_function(pipeline: UFCPipeline) -> None:
    settings: dict[str, Any] = {"num_inference_steps": 2, "num_images_per_prompt": 2}
    captions = {"warm": "red bag", "cold": ""}
    out = pipeline(["warm", "cold"], seed=1, expand_prompt=captions.__getitem__, **settings)
    assert out.prompts == ["red bag", "red bag", "cold", "cold"]
    assert out.notices[1] == ["'warm' is expanded to 'red bag'"]
    assert "is used as it is" in out.notices[2][0]
    plain = pipeline(["red bag", "cold"], seed=1, **settings)
    assert plain.notices == [[], [], [], []]
    assert (out.codes == plain.codes).all()
