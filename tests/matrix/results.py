"""What a run has measured, in files that `render` makes the page from.

A run writes into the directory that MATRIX_RESULTS names, and nothing where it names none:
`<row>.json`, one for each row of servers, in the form of `asgi-bridge doctor --json`; and
`frameworks.jsonl`, one line for each framework, server and recipe:

    {"framework": "Starlette", "version": "1.10.0", "server": "uvicorn-h11",
     "recipe": "StreamingResponse(request.stream())", "outcome": "ok"}
"""

import json
import os
from pathlib import Path
from typing import Any, Final

VARIABLE: Final = "MATRIX_RESULTS"
FRAMEWORKS: Final = "frameworks.jsonl"


def results_directory() -> Path | None:
    """Where this run's results go, if anywhere."""
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    directory = Path(named)
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def record_row(name: str, run: dict[str, Any]) -> None:
    """Keep what was measured for one row of servers."""
    if (directory := results_directory()) is not None:
        (directory / f"{name}.json").write_text(json.dumps(run, indent=2) + "\n")


def record_framework(
    *, framework: str, version: str, server: str, recipe: str, outcome: str
) -> None:
    """Keep what one recipe of a framework came to on one server: "ok", or a word for what not."""
    if (directory := results_directory()) is not None:
        line = json.dumps(
            {
                "framework": framework,
                "version": version,
                "server": server,
                "recipe": recipe,
                "outcome": outcome,
            }
        )
        with (directory / FRAMEWORKS).open("a") as file:
            file.write(line + "\n")
