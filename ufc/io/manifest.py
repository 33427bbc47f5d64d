"""The output folder: pictures written whole or not at all, and a manifest that survives a kill.

`manifest.jsonl` has one line per picture: its request and its result. All lines of a run are
written as "pending" before the first picture is generated, finished ones are appended as they come
(the last line for a file counts), and at the end the file is rewritten with one line each, and
`log.html` is written, which shows them.
"""

from __future__ import annotations

import errno
import html
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from PIL import Image

from ufc.io.png.metadata import Metadata, save_options
from ufc.io.validation import RequestError, listed, parse_json
from ufc.sampling.generation_config import DEFAULTS, current_names
from ufc_base.files import naming, write_atomically
from ufc_base.profiles import PROFILE

MANIFEST = "manifest.jsonl"
LOG = "log.html"
FAST_PNG_PIXELS = 2**21  # beyond these a file is compressed less: 12 megapixels take 2 s, not 4
PARTS = "manifest.part-*.jsonl"  # see `ufc.io.distributed_manifest`

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem; background: #f6f6f4; color: #222 }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem }
figure { margin: 0; padding: .8rem; background: #fff; border-radius: .5rem }
img { width: 100%; image-rendering: pixelated; background: #eee }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0 .6rem; margin: .5rem 0 0; color: #666 }
dd { margin: 0; overflow-wrap: anywhere }
p { margin: .5rem 0 0 }
.failed { outline: 2px solid #c33 }
"""
_SHOWN = (
    "negative_prompt",
    "seed",
    "num_inference_steps",
    "guidance_scale",
    "order",
    "num_candidates",
    "best_of",
    "compliance",
    "fidelity",
    "seconds",
    "model",
    "error",
)


def open_folder(path: str | os.PathLike[str]) -> Path:
    """Make the output folder and make sure that it can be written to.

    Raises:
        RequestError: a file is in the way, or it cannot be made or written to.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (FileExistsError, NotADirectoryError):
        raise RequestError(f"{folder}: is a file, wanted a folder for the pictures") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RequestError(
            f"{folder}: cannot be written to ({error.strerror}); choose another --output-dir"
        ) from None
    return folder


def write_json(path: Path, report: Mapping[str, Any]) -> None:
    """Write a report for people and programs: the old file or the whole new one, as above."""
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode(errors="backslashreplace")))


def save_picture(
    image: Image.Image, path: Path, metadata: Metadata | None, *, overwrite: bool = False
) -> None:
    """Write a picture with its metadata and its colour profile, whole or not at all.

    The format is that of the suffix.

    Raises:
        FileExistsError: the file is there and `overwrite` is not set.
        OSError: it cannot be written; a full disk, say.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: exists already; allow overwriting or choose another name")
    options = {PROFILE: image.info.get(PROFILE), **save_options(metadata, path.suffix)}
    if options["format"] == "PNG" and image.width * image.height > FAST_PNG_PIXELS:
        options["compress_level"] = 1
    write_atomically(path, lambda file: image.save(file, **options))


def place_inside(folder: Path, file_name: str) -> Path:
    """Where a picture of this name is written.

    Raises:
        RequestError: links lead out of the folder on the way there.
    """
    path = folder / file_name
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise RequestError(
            f"{path}: would be written to {path.parent.resolve()}, outside of the output folder; "
            "remove the link that leads there, or choose another output"
        )
    return path


def refuse_existing(folder: Path, file_names: Iterable[str]) -> None:
    """Raise `RequestError` where pictures of these names are in the folder already."""
    taken = [name for name in file_names if (folder / name).exists()]
    if taken:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise RequestError(
            f"{folder / taken[0]}: exists already{more}; add --resume to keep what is done, "
            "--overwrite to generate it again, or choose another --output-dir"
        )


def refuse_new_folder(folder: Path) -> None:
    """Raise `RequestError` where there is no run in a folder that nobody named.

    Its name is the day's, and the run to go on with may be of the day before.
    """
    if has_run(folder):
        return
    others = [path for path in folder.parent.glob("*/") if path != folder and has_run(path)]
    newest = max(others, key=last_written, default=None)
    said = (
        f"the newest other run is in {newest}; add --output-dir {newest}"
        if newest
        else "say with --output-dir where the run is"
    )
    raise RequestError(
        f"--resume: {folder} has no {MANIFEST} to go on from; {said}, or leave --resume out"
    )


def has_run(folder: Path) -> bool:
    """Whether a run has written to this folder."""
    return bool(manifests(folder))


def last_written(folder: Path) -> float:
    """When a run last wrote to this folder."""
    return max(path.stat().st_mtime for path in manifests(folder))


def manifests(folder: Path) -> list[Path]:
    """The manifest of a folder, if it has one, and its parts."""
    return [*folder.glob(MANIFEST), *manifest_parts(folder)]


class Manifest(AbstractContextManager["Manifest"]):
    """The manifest of a folder: `rows` by file name, in order; at the end it is tidied, and shown.

    Raises:
        RequestError: the file that is there is not a manifest.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MANIFEST
        self.rows = read_manifest(self.path)

    def begin(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write the rows of a run before it starts, each in the place of its older one."""
        self.rows = read_manifest(self.path)  # another run may have added to it
        self.rows |= {row["file_name"]: dict(row) for row in rows}
        self._rewrite()

    def record(self, row: Mapping[str, Any]) -> None:
        """Append what came of one picture, at once."""
        self.rows[row["file_name"]] = dict(row)
        with naming(self.path), open(self.path, "ab") as file:
            file.write(manifest_line(row))

    def close(self) -> None:
        """Bring the file down to one line per picture."""
        self.rows = {**self.rows, **read_manifest(self.path)}
        self._rewrite()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """However it ends: after an error the disk may be full, and what was appended counts."""
        with suppress(*(() if error is None else (OSError, ValueError))):
            self.close()
            write_log(self.path.parent, self.rows.values())

    def _rewrite(self) -> None:
        text = b"".join(manifest_line(row) for row in self.rows.values())
        write_atomically(self.path, lambda file: file.write(text))


def read_manifest(path: Path) -> dict[str, dict[str, Any]]:
    """Rows by file name, the last of a name in the place of the first; none if there is no file.

    A last line without its end, as a kill may leave it, is passed over.

    Raises:
        RequestError: a line that is not a manifest's.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror})") from None
    rows: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line.decode())
            rows[row["file_name"]] = row
        except (RequestError, UnicodeDecodeError, TypeError, KeyError):
            if number == len(lines):
                break
            raise RequestError(
                f"{path}, line {number}: is not a manifest line; move the file away, "
                "or choose another --output-dir"
            ) from None
    return rows


def manifest_parts(folder: Path) -> list[Path]:
    """Parts of the manifest that other processes write, or have left behind."""
    return sorted(folder.glob(PARTS))


def read_folder(folder: Path) -> dict[str, dict[str, Any]]:
    """Rows of a folder's manifest and of its parts, by file name."""
    rows = read_manifest(folder / MANIFEST)
    for part in manifest_parts(folder):
        rows |= read_manifest(part)
    return rows


def refuse_changed(folder: Path, rows: Iterable[Mapping[str, Any]], fields: Iterable[str]) -> None:
    """Raise `RequestError` where a picture that is done was asked for differently.

    `rows` are the rows of the new run, `fields` the names that must agree with the old.
    """
    old_rows = read_folder(folder)
    fields = tuple(fields)
    for row in rows:
        old = current_names(old_rows.get(row["file_name"]) or {})
        if old.get("status") != "done":
            continue
        # A manifest of today has a value for all of DEFAULTS; older ones did not write every one.
        written = (name for name in fields if name in old or name not in DEFAULTS)
        changed = [name for name in written if old.get(name) != row.get(name)]
        if _weights(old) != _weights(row):
            changed.append("the model's weights")
        if "inputs" in old and old["inputs"] != row.get("inputs"):
            changed.append("the contents of its input files")
        if changed:
            raise RequestError(
                f"{folder / row['file_name']}: was made with other values of {listed(changed)}; "
                "choose another --output-dir, or add --overwrite instead of --resume"
            )


def _weights(row: Mapping[str, Any]) -> object:
    versions = row.get("versions")
    return versions.get("weights") if isinstance(versions, Mapping) else None


def manifest_line(row: Mapping[str, Any]) -> bytes:
    """A row as it is written; a path that is not UTF-8 is escaped, and read back as it was."""
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(row, allow_nan=False).encode() + b"\n"


def log_page(rows: Iterable[Mapping[str, Any]]) -> str:
    """A page without scripts that shows every picture of a manifest with its request."""
    figures = "\n".join(_figure(row) for row in rows)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Pictures</title>'
        f"<style>{_STYLE}</style></head>\n<body><main>\n{figures}\n</main></body></html>\n"
    )


def write_log(folder: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write `log.html` for the rows of the folder's manifest."""
    page = log_page(rows).encode(errors="replace")  # of a path that is not UTF-8, say
    write_atomically(folder / LOG, lambda file: file.write(page))
    return folder / LOG


def _figure(row: Mapping[str, Any]) -> str:
    name, status = str(row["file_name"]), str(row.get("status", ""))
    prompt = html.escape(str(row.get("prompt") or ""))
    picture = html.escape(status)
    if status == "done":
        picture = f'<img src="{html.escape(quote(name))}" alt="{prompt}" loading="lazy">'
    facts = {"file": name, **{key: row[key] for key in _SHOWN if row.get(key) is not None}}
    if row.get("reference_images"):
        facts["references"] = len(row["reference_images"])
    terms = "".join(
        f"<dt>{html.escape(key.replace('_', ' '))}</dt><dd>{html.escape(_text(value))}</dd>"
        for key, value in facts.items()
    )
    return (
        f'<figure class="{html.escape(status)}">{picture}<p>{prompt}</p><dl>{terms}</dl></figure>'
    )


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
