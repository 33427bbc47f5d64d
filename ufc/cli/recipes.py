"""Recipe files: a path, or the name of one that came with the program."""

from __future__ import annotations

from pathlib import Path

from ufc.io.validation import RequestError, listed


def recipe_folder() -> Path:
    """`configs/` inside an installed package, or beside the packages of a clone."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def recipe_names() -> list[str]:
    """Names of the recipes that came with the program."""
    return sorted(path.stem for path in recipe_folder().glob("*.yaml"))


def find_recipe(recipe: str) -> Path:
    """The file of a recipe given as a path or by name.

    Raises:
        RequestError: there is neither.
    """
    path = Path(recipe)
    if path.is_file():
        return path
    if recipe in recipe_names():
        return recipe_folder() / f"{recipe}.yaml"
    raise RequestError(
        f"{recipe}: no such recipe file; give a path, or one of {listed(recipe_names())}"
    )


def names_beginning(incomplete: str) -> list[str]:
    """What a shell offers for a recipe's name."""
    return [name for name in recipe_names() if name.startswith(incomplete)]
