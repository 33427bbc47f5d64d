"""The one door to torchvision and LPIPS; no weights are needed or fetched here."""

from importlib.util import find_spec
from urllib.error import URLError

import pytest

from estimators.metrics.extractors import load_extractor
from vqgan.perceptual import import_torchvision, lpips_model

# Not importorskip: importing lpips before `import_torchvision` is what fails without CUDA.
pytestmark = pytest.mark.skipif(
    not (find_spec("lpips") and find_spec("torchvision")), reason="needs lpips and torchvision"
)


def test_torchvision_imports_once_and_whole():
    torchvision = import_torchvision()
    assert import_torchvision() is torchvision
    assert callable(torchvision.models.alexnet)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="alex, vgg, squeeze"):
        lpips_model("inception")
    with pytest.raises(ValueError, match="alexnet, vgg16"):
        load_extractor("resnet50")


@pytest.mark.parametrize("load", [lpips_model, lambda: load_extractor("alexnet")])
def test_missing_weights_name_the_folder_and_the_remedy(load, tmp_path, monkeypatch):
    import_torchvision()
    from torchvision.models import _api

    def offline(*_args, **_kwargs):
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(_api, "load_state_dict_from_url", offline)
    with pytest.raises(RuntimeError, match="TORCH_HOME") as caught:
        load()
    assert str(tmp_path) in str(caught.value)
    assert "no network" in str(caught.value)
