"""Puts `weights/` and `configs/` into the wheel, inside `ufc`; pyproject.toml has the rest."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
BESIDE_PACKAGES = ("weights", "configs")


class BuildWithData(build_py):
    """A clone needs no copy: an editable install finds the folders beside the packages."""

    def run(self) -> None:
        super().run()
        for name in BESIDE_PACKAGES:
            if not self.editable_mode and (HERE / name).is_dir():
                shutil.copytree(HERE / name, Path(self.build_lib, "ufc", name), dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithData})
