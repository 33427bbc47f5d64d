"""Work that is killed at any moment and taken up again: nothing lost, nothing double, nothing half.

    PYTHONPATH=.:tests python -m hostile.kills outputs/soak/kills.jsonl [--moments 20] [--only JOB]

A job is done in a process of its own, which is killed at a random moment by SIGKILL, SIGTERM or
SIGINT, and done again until it ends; what is there then is compared with that of a run which was
never killed. Each signal comes at so many moments of each job. What was done is kept in the file,
and a run that was stopped goes on behind it.
"""

from __future__ import annotations

from . import of_kept_files, of_pictures, of_servers, of_sessions, of_trainings
from .base import Job
from .models import Models

FILES = (of_pictures, of_trainings, of_kept_files, of_sessions, of_servers)


def jobs(models: Models) -> dict[str, Job]:
    """All jobs by name."""
    return {name: job for file in FILES for name, job in file.jobs(models).items()}
