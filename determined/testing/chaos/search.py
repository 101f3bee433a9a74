"""Runs one of the searches, or goes on with it: ``python -m determined.testing.chaos.search NAME FOLDER``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from determined import searcher
from determined.testing.chaos.searches import SEARCHES, config


def main(name: str, folder: Path) -> int:
    """0 when the search has come to its end."""
    logging.basicConfig(level=logging.INFO)
    model = folder / "model"
    model.mkdir(parents=True, exist_ok=True)
    (model / "note.txt").write_text("the training is in the package\n")
    runner = searcher.LocalSearchRunner(SEARCHES[name](), folder / "searcher")
    runner.run(config(name), model_dir=model)
    return 0 if runner.state.experiment_completed else 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
