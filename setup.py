"""Puts the bundled weights into the wheel, as `ufc/weights`; pyproject.toml has everything else."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

WEIGHTS = Path(__file__).parent / "weights"


class BuildWithWeights(build_py):
    """A clone needs no copy: an editable install finds the folder beside the packages."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode and WEIGHTS.is_dir():
            target = Path(self.build_lib) / "ufc" / "weights"
            shutil.copytree(WEIGHTS, target, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithWeights})
