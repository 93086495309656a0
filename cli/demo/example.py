"""Where the demo's example lies: in the repository, else beside this module, where the wheel has a copy of it."""

from __future__ import annotations

from pathlib import Path

BOOK_NAME = "pixel.yaml"
EVENTS_NAME = "pixel.events.ndjson"
REPOSITORY = Path(__file__).parents[2]


def example_folder(repository: Path = REPOSITORY) -> Path:
    """The folder that holds BOOK_NAME and EVENTS_NAME."""
    folder = repository / "examples" / "prices"
    return folder if (folder / BOOK_NAME).is_file() else Path(__file__).parent


def next_steps(repository: Path = REPOSITORY) -> tuple[str, ...]:
    """The commands that do with a pipeline of one's own what the demo did; from a wheel there is no make."""
    folder = example_folder(repository)
    if folder.is_relative_to(repository / "examples"):
        folder = folder.relative_to(repository)
        start: tuple[str, ...] = ("make up", "source .venv/bin/activate")
    else:
        start = ("creditmeter up --detach",)
    return (
        *start,
        f"creditmeter prices publish {folder / BOOK_NAME}",
        f"creditmeter emit {folder / EVENTS_NAME}",
        'creditmeter query "SELECT charge, decision, count(), sum(credits) FROM billed_events GROUP BY ALL"',
    )
