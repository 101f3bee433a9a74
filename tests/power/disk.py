"""A disk that forgets: what was not synced when the power went may be there, may be missing, or in part.

Kept apart for each file: the bytes that are safe, and the writes since. Kept apart for each folder: the names that are
safe, and the changes since. Nothing is promised about the order of what is not synced, as POSIX promises nothing.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.power.log import Call

SECTOR = 512


@dataclass
class File:
    """Bytes."""

    safe: bytearray = field(default_factory=bytearray)
    pending: list[Call] = field(default_factory=list)

    def sync(self, content: bytes) -> None:
        """Everything written so far is safe."""
        if content and not self.pending:
            self.safe = bytearray(content)
        for call in self.pending:
            apply(self.safe, call)
        self.pending = []

    def after(self, loss: Loss) -> bytes:
        """What is found when the power is back."""
        found = bytearray(self.safe)
        for call in loss.kept(self.pending):
            apply(found, call)
        return bytes(found)


def apply(content: bytearray, call: Call) -> None:
    """Write or cut."""
    if call.kind == "cut":
        del content[call.at :]
        content.extend(b"\0" * (call.at - len(content)))
        return
    content.extend(b"\0" * (call.at - len(content)))
    content[call.at : call.at + len(call.data)] = call.data


@dataclass
class Folder:
    """Names."""

    safe: dict[str, Node] = field(default_factory=dict)
    now: dict[str, Node] = field(default_factory=dict)
    pending: list[list[tuple[str, Node | None]]] = field(default_factory=list)

    def change(self, *changes: tuple[str, Node | None]) -> None:
        """Give or take names, all of them at once."""
        _change(self.now, changes)
        self.pending.append(list(changes))

    def sync(self) -> None:
        """The names are safe."""
        self.safe, self.pending = dict(self.now), []

    def after(self, loss: Loss) -> dict[str, Node]:
        """The names that are found when the power is back."""
        found = dict(self.safe)
        for changes in loss.kept(self.pending):
            _change(found, changes)
        return found


Node = File | Folder


def _change(names: dict[str, Node], changes: Iterable[tuple[str, Node | None]]) -> None:
    for name, node in changes:
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Loss:
    """What is lost of what was not safe.

    Args:
        kind: "all", "none", or "some" by the seed.
    """

    def __init__(self, kind: str, seed: int = 0) -> None:
        self._kind = kind
        self._rng = random.Random(seed)

    def kept(self, pending: list[Any]) -> list[Any]:
        """The part that made it to the disk; the last write of it may be torn."""
        if self._kind == "all" or not pending:
            return []
        if self._kind == "none":
            return pending
        if self._rng.random() < 0.5:
            kept = pending[: self._rng.randrange(len(pending) + 1)]
        else:
            kept = [change for change in pending if self._rng.random() < 0.5]
        if kept and isinstance(kept[-1], Call) and len(kept[-1].data) > SECTOR:
            whole = self._rng.randrange(len(kept[-1].data) // SECTOR + 1) * SECTOR
            last = kept[-1]
            kept = [*kept[:-1], Call(last.kind, last.path, last.data[:whole], last.at)]
        return kept


class Disk:
    """The folder ``root`` and everything below it."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._top = Folder()

    def play(self, call: Call) -> None:
        """Do what a call did."""
        if call.kind == "make":
            self._parent(call.path).change((self._name(call.path), File()))
        elif call.kind in ("write", "cut"):
            self._file(call.path).pending.append(call)
        elif call.kind == "sync":
            self._file(call.path).sync(call.data)
        elif call.kind == "sync_folder":
            for name in call.data.decode().split("\0") if call.data else ():
                # What was made past our eyes is there, and so is its name.
                self._find(f"{call.path}/{name}")
            self._folder(call.path).sync()
        elif call.kind == "make_folder":
            self._parent(call.path).change((self._name(call.path), Folder()))
        elif call.kind == "remove":
            self._parent(call.path).change((self._name(call.path), None))
        elif call.kind == "rename":
            self._rename(call.path, call.target)

    def _rename(self, source: str, target: str) -> None:
        node = self._find(source)
        old, new = self._parent(source), self._parent(target)
        if old is new:
            old.change((self._name(source), None), (self._name(target), node))
        else:
            old.change((self._name(source), None))
            new.change((self._name(target), node))

    def after(self, loss: Loss, place: Path) -> None:
        """Lay out what is found when the power is back."""
        _lay_out(self._top, loss, place)

    def _find(self, path: str) -> Node:
        node: Node = self._top
        relative = os.path.relpath(path, self._root)
        for name in () if relative == "." else relative.split("/"):
            assert isinstance(node, Folder)
            if name not in node.now:
                # Something that was made past our eyes: by C code, or by a search method's own writing.
                node.change((name, File()))
            node = node.now[name]
        return node

    def _file(self, path: str) -> File:
        found = self._find(path)
        assert isinstance(found, File), path
        return found

    def _folder(self, path: str) -> Folder:
        found = self._find(path)
        assert isinstance(found, Folder), path
        return found

    def _parent(self, path: str) -> Folder:
        return self._folder(os.path.dirname(path))  # noqa: PTH120

    @staticmethod
    def _name(path: str) -> str:
        return path.rpartition("/")[2]


def _lay_out(folder: Folder, loss: Loss, place: Path) -> None:
    place.mkdir(exist_ok=True)
    for name, node in sorted(folder.after(loss).items()):
        if isinstance(node, Folder):
            _lay_out(node, loss, place / name)
        else:
            (place / name).write_bytes(node.after(loss))
