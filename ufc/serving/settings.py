"""What the server allows and how long it waits; every field is a flag of `ufc serve`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ufc_base.program import option

BATCHING, LIMITS, ACCESS = "Batching", "Limits", "Access"
GRACE = 30  # seconds after SIGINT or SIGTERM in which requests may end; then connections are cut
TELLING = 5  # the last of these: generating has stopped, and who still waits is told


@dataclass(kw_only=True)
class ServerSettings:
    """Limits hold for every request; what is beyond them is refused, with the limit named."""

    served_model_name: Annotated[
        str | None, option("What clients call the model (its own name).", ACCESS)
    ] = None
    rate_limit: Annotated[
        int | None,
        option("Requests a minute from one key, or one address (no limit).", ACCESS, min=1),
    ] = None
    max_batch: Annotated[
        int | None,
        option(
            "Pictures of a batch (2 where several are generated at the same time, else 8).",
            BATCHING,
            min=1,
        ),
    ] = None
    batches_at_once: Annotated[
        int | None,
        option(
            "Batches generated at the same time, which share the processors (a CPU: as many as it "
            "has processors, 4 at most; otherwise, and with --deterministic or --compile: 1).",
            BATCHING,
            min=1,
        ),
    ] = None
    batch_wait: Annotated[
        float,
        option(
            "Seconds that a picture waits for company when nothing is being generated (0.01).",
            BATCHING,
            min=0,
        ),
    ] = 0.01
    max_queue: Annotated[
        int,
        option("Pictures that may wait (64); further requests get status 429.", LIMITS, min=1),
    ] = 64
    request_timeout: Annotated[
        float, option("Seconds that a request may take in all (120).", LIMITS, min=0.001)
    ] = 120.0
    max_images: Annotated[int, option("Pictures of one request (10).", LIMITS, min=1)] = 10
    max_steps: Annotated[int, option("Steps of one picture (100).", LIMITS, min=1)] = 100
    max_canvases: Annotated[
        int,
        option(
            "Of one request, and generated together: pictures times candidates times best of (64).",
            LIMITS,
            min=1,
        ),
    ] = 64
    max_attempts: Annotated[
        int, option("Attempts at min_compliance and min_score (8).", LIMITS, min=1)
    ] = 8
    max_area: Annotated[
        float,
        option("Blocks of one picture, as a multiple of the trained number (4).", LIMITS, min=1),
    ] = 4.0
    max_body_mib: Annotated[float, option("Size of a request in MiB (32).", LIMITS, min=0.001)] = (
        32.0
    )
    max_pixels: Annotated[
        int, option("Pixels of an uploaded picture (16777216).", LIMITS, min=1)
    ] = 2**24

    @property
    def max_body(self) -> int:
        """Bytes that a request may have."""
        return int(self.max_body_mib * 2**20)
