"""The tutorial runs the scripts, the configurations and the commands of Determined's guide to custom search methods.

The texts here are that guide's code without its comments. ``test_examples`` runs the tutorial from top to bottom, so
what is equal to its blocks has been run.
"""

from __future__ import annotations

import ast

import pytest
import yaml

from tests.docs.pages import ROOT, blocks

TUTORIAL = list(blocks((ROOT / "docs" / "tutorial.md").read_text()))
SCRIPTS = {
    "run_local_searcher.py": """
import logging
from pathlib import Path
from determined import searcher

if __name__ == "__main__":
    model_context_dir = "experiment_files"
    model_config = "experiment_files/config.yaml"
    searcher_dir = Path("local_search_runner/searcher_dir")
    search_method = MySearchMethod(...)
    search_runner = searcher.LocalSearchRunner(search_method, searcher_dir=searcher_dir)
    experiment_id = search_runner.run(model_config, model_dir=model_context_dir)
    logging.info(f"Experiment {experiment_id} has been completed.")
""",
    "run_remote_searcher.py": """
import determined as det
from pathlib import Path
from determined import searcher

if __name__ == "__main__":
    model_context_dir = "experiment_files"
    model_config = "experiment_files/config.yaml"
    with det.core.init() as core_context:
        info = det.get_cluster_info()
        assert info is not None
        search_method = MySearchMethod(...)
        search_runner = searcher.RemoteSearchRunner(search_method, context=core_context)
        search_runner.run(model_config, model_dir=model_context_dir)
""",
}
SEARCHER_CONFIG = {
    "name": "remote-searcher",
    "entrypoint": "python3 run_remote_searcher.py",
    "searcher": {
        "metric": "validation_error",
        "smaller_is_better": True,
        "name": "single",
        "max_length": {"batches": 1000},
    },
    "max_restarts": 0,
}
CUSTOM_SEARCHER = {
    "searcher": {"name": "custom", "metric": "validation_loss", "smaller_is_better": True, "unit": "batches"}
}
COMMANDS = ("python run_local_searcher.py", "det e create searcher_config.yaml context_dir")


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_scripts_are_the_guides_beside_the_import_of_the_method(name: str) -> None:
    [block] = [block for block in TUTORIAL if block.notes.get("file") == name]
    own_import = "from my_search import MySearchMethod\n"
    assert block.text.count(own_import) == 1
    assert ast.dump(ast.parse(block.text.replace(own_import, ""))) == ast.dump(ast.parse(SCRIPTS[name]))
    assert block.notes["fill"] == "MySearchMethod(...) with MySearchMethod(max_trials=4)"


def test_the_configurations_are_the_guides() -> None:
    configs = [yaml.safe_load(block.text) for block in TUTORIAL if block.language == "yaml"]
    assert SEARCHER_CONFIG in configs
    assert CUSTOM_SEARCHER in configs
    assert any({**config, **CUSTOM_SEARCHER} == config for config in configs if "entrypoint" in config)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_are_the_guides(command: str) -> None:
    assert f"{command}\n" in [block.text for block in TUTORIAL if block.language == "bash"]
