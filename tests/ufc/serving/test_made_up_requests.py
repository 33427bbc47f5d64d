"""Requests that schemathesis makes up from the server's own schema, right and wrong ones.

Too slow for every change: it is run where `UFC_MADE_UP_REQUESTS` says how many there are to be, as
`scripts/nightly.sh` does.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest
from conftest import make_pipeline, picture

REQUESTS = int(os.environ.get("UFC_MADE_UP_REQUESTS", "0"))
if not REQUESTS:
    pytest.skip("UFC_MADE_UP_REQUESTS asks for none", allow_module_level=True)

import hypothesis  # noqa: E402
import schemathesis  # noqa: E402
from hypothesis import strategies  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi import checks  # noqa: E402
from toy_server import b64, png, running  # noqa: E402

from ufc.conditioning.conditioning import OF_AN_EDIT  # noqa: E402
from ufc.serving.settings import ServerSettings  # noqa: E402

SMALL = ServerSettings(max_images=2, max_steps=4, max_canvases=4, max_area=2, max_pixels=10_000)
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
PATIENCE = 100  # seconds that a busy machine may take for a request
ALL = list(schemathesis.GenerationMode)
GOOD = [schemathesis.GenerationMode.POSITIVE]
PICTURES = [picture(0), picture(1, (9, 30)), picture(2).convert("L"), picture(3).convert("RGBA")]
SETTLED = hypothesis.settings(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)


def made_sensible(body: dict[str, Any]) -> dict[str, Any]:
    """A body without what makes the server refuse most of those that are made up at random."""
    left = {name: value for name, value in body.items() if name not in ("model", "size")}
    of_an_edit = [name for name in (*OF_AN_EDIT, "mask") if left.get(name)]
    for name in of_an_edit[1:] if left.get("image") else (*of_an_edit, "invert_mask"):
        left.pop(name, None)
    for name in ("height", "width", "num_inference_steps", "num_candidates", "best_of", "n"):
        if not (isinstance(left.get(name), int) and left[name] in (1, 2, 4, 8, 16)):
            left.pop(name, None)
    return left | {"prompt": "red bag"}


def test_no_request_is_too_odd_for_the_server() -> None:
    files = [png(one) for one in PICTURES]
    some = strategies.sampled_from(files) | strategies.binary(max_size=50)
    schemathesis.openapi.format("binary", some)
    encoded = strategies.sampled_from([b64(one) for one in PICTURES]) | strategies.text(max_size=9)
    schemathesis.openapi.format("byte", encoded)
    pipe = make_pipeline()
    pipe.defaults["num_inference_steps"] = 2
    seen: Counter[tuple[str, int]] = Counter()
    with running(pipe, SMALL) as server:
        schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
        operations = [found.ok() for found in schema.get_all_operations()]
        for operation in operations:
            images = operation.path.startswith("/v1/images")
            share = REQUESTS * 13 // 40 if images else REQUESTS // 20 // (len(operations) - 2) + 1

            def send(case: Any, sensible: bool) -> None:
                if sensible and isinstance(case.body, dict):
                    case.body = made_sensible(case.body)
                answer = case.call(timeout=PATIENCE)
                seen[case.path, answer.status_code] += 1
                case.validate_response(answer, checks=CHECKS)

            # Without fields nothing can be wrong, and wrong forms with files are not made up; of
            # the right ones most have files that are no pictures.
            modes = ALL if operation.path.endswith("generations") else GOOD
            for mode in modes:
                made = operation.as_strategy(generation_mode=mode)
                settled = hypothesis.settings(SETTLED, max_examples=share)
                settled(hypothesis.given(case=made, sensible=strategies.booleans())(send))()
    print(dict(seen))  # noqa: T201
    assert sum(seen.values()) >= 0.9 * REQUESTS  # equal ones are made up once
    for path in ("/v1/images/generations", "/v1/images/edits"):
        assert seen[path, 200] and seen[path, 400]
