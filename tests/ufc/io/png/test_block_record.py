"""What files say of their blocks: one form, older ones read, crafted ones refused."""

from __future__ import annotations

import io
import json
import time
from contextlib import suppress

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ufc.io.png.block_record import BlockRecord, Origin
from ufc.io.png.metadata import read_metadata
from ufc.io.validation import RequestError, parse_json

OLD_COMMAND = {
    "grid": 2,
    "codes": [1, 2, 3, 4],
    "pixels_sha256": "ab" * 32,
    "codebook_sha256": "cd" * 6,
    "confidence": [[1.0, 0.5], [0.25, 0.125]],
    "provenance": [{"kept": True}] * 2
    + [{"kept": False, "step": 3, "candidate": 1, "confidence": 0.5}] * 2,
}
OLD_EDITOR = OLD_COMMAND | {
    "confidence": [None, 0.5, 0.25, 0.125],
    "provenance": [{"picture": "0001", "kind": "upload"}]
    + [{"picture": "0002", "seed": 7, "step": 0, "candidate": 0}] * 3,
}


def png(blocks: object = None, request: object = None) -> io.BytesIO:
    info, file = PngInfo(), io.BytesIO()
    for name, value in (("ufc_blocks", blocks), ("ufc_metadata", request)):
        if value is not None:
            info.add_itxt(name, value if isinstance(value, str) else json.dumps(value), zip=True)
    Image.new("RGB", (4, 4)).save(file, "PNG", pnginfo=info)
    file.seek(0)
    return file


def test_old_files_of_the_command_line():
    record = read_metadata(png(OLD_COMMAND)).blocks
    assert record is not None
    assert record.codes == (1, 2, 3, 4) and record.confidence == (1.0, 0.5, 0.25, 0.125)
    assert record.provenance == (Origin(True),) * 2 + (Origin(False, 3, 1),) * 2


def test_old_files_of_the_editor():
    record = read_metadata(png(OLD_EDITOR)).blocks
    assert record is not None and record.confidence == (None, 0.5, 0.25, 0.125)
    assert (
        record.provenance == (Origin(True, picture="0001"),) + (Origin(False, 0, 0, 7, "0002"),) * 3
    )


@pytest.mark.parametrize("old", [OLD_COMMAND, OLD_EDITOR])
def test_what_is_written_is_read_back(old):
    record = BlockRecord.from_json(old)
    told = record.to_json()
    assert told["format"] == 2 and len(told["provenance"]) == 4
    assert read_metadata(png(told)).blocks == record


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": "2"}, "grid"),
        ({"grid": 10**9}, "grid"),
        ({"grid": None}, "grid"),
        ({"grid": 3}, "got 4 entries for 9 blocks"),
        ({"format": 3}, "format: got 3, wanted 1 to 2"),
        ({"codes": [1, 2, 3]}, "codes: got 3 entries for 4 blocks"),
        ({"codes": [1, 2, 3, -1]}, "codes: got -1"),
        ({"codes": [1, 2, 3, True]}, "codes: got true"),
        ({"codes": [0] * 20_000}, "codes: got a list"),
        ({"confidence": [2, 0, 0, 0]}, "confidence: got 2"),
        ({"confidence": ["a", 0, 0, 0]}, "confidence: got the text"),
        ({"confidence": [[1, 1], 3]}, "row: got 3"),
        ({"provenance": {}}, "provenance: got an object"),
        ({"provenance": [1, 2, 3, 4]}, "provenance: got 1"),
        ({"provenance": [{"picture": "<b>"}] * 4}, "picture"),
        ({"provenance": [{"picture": 1}] * 4}, "picture"),
        ({"provenance": [{"picture": "٣"}] * 4}, "picture"),
        ({"provenance": [{"step": "1"}] * 4}, "step"),
        ({"provenance": [{"step": 1, "seed": 2**64}] * 4}, "seed"),
        ({"provenance": [{"kept": 1}] * 4}, "kept"),
        ({"pixels_sha256": 3}, "pixels_sha256"),
    ],
)
def test_crafted_records_are_refused(changes, message):
    with pytest.raises(RequestError, match=f"its ufc_blocks is damaged: .*{message}") as caught:
        read_metadata(png(OLD_COMMAND | changes))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"request": {"prompt": "\\ud800"}}', "not valid Unicode"),
        ('{"compliance": 1e999}', "too large"),
        ('{"a": ' + "[" * 40 + "]" * 40 + "}", "nested too deeply"),
        ('{"a": "' + "a" * 5_000_000 + '"}', "more than the"),
    ],
)
def test_crafted_requests_are_refused(text, message):
    with pytest.raises(RequestError, match=f"its ufc_metadata is damaged: .*{message}"):
        read_metadata(png(request=text))


def jpeg(comment: str) -> io.BytesIO:
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x8769] = {0x9286: b"UNICODE\0" + comment.encode("utf-16-be")}
    Image.new("RGB", (4, 4)).save(file, "WEBP", exif=exif.tobytes())
    file.seek(0)
    return file


@pytest.mark.parametrize(
    "comment",
    ["a" * 400_000, '"' * 400_000, "a: " * 100_000, '\\"' * 200_000, ', a: "' * 60_000,
     ', ufc_metadata: "' * 20_000, ', ufc_metadata: "' + "\\\\" * 200_000],
)  # fmt: skip
def test_any_comment_is_read_in_linear_time(comment):
    file = jpeg(comment)
    started = time.process_time()
    with suppress(RequestError):  # some are damaged records
        read_metadata(file)
    assert time.process_time() - started < 0.5  # of a form that took minutes


def test_equal_names_are_found_in_linear_time():
    text = "{" + ",".join(f'"{n}": 1' for n in range(100_000)) + ', "99999": 2}'
    started = time.process_time()
    with pytest.raises(RequestError, match="has the field 99999 twice"):
        parse_json(text)
    assert time.process_time() - started < 1


def test_words_that_look_like_a_chunk_stay_words():
    comment = 'a, ufc_metadata: "{}", b\nSteps: 1, ufc_metadata: "{\\"x\\": \\"y, ufc_blocks: \\"}"'
    said = read_metadata(jpeg(comment))
    assert said.parameters == 'a, ufc_metadata: "{}", b\nSteps: 1'
    assert said.request == {"x": "y, ufc_blocks: "} and said.blocks is None
