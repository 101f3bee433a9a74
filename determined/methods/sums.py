"""How many there are in the first of some groups, kept while groups grow and shrink by one."""

from __future__ import annotations

from collections.abc import Iterable


class Sums:
    """The sizes of a row of groups, as a tree of partial sums.

    Source: Fenwick, A New Data Structure for Cumulative Frequency Tables, Software: Practice and Experience 24(3),
    1994.

    Cost: O(log groups) for each method, O(groups) to make it.
    """

    __slots__ = ("_half", "_tree")

    def __init__(self, sizes: Iterable[int]) -> None:
        self._tree = tree = [0, *sizes]
        """Node n holds the sum of the groups before n, back to the one that n without its lowest bit counts from."""
        count = len(tree)
        self._half = 1 << (count.bit_length() - 1)
        for node in range(1, count):
            above = node + (node & -node)
            if above < count:
                tree[above] += tree[node]

    def change(self, group: int, by: int) -> None:
        """A group has grown by so much."""
        tree, node = self._tree, group + 1
        count = len(tree)
        while node < count:
            tree[node] += by
            node += node & -node

    def before(self, group: int) -> int:
        """The sum of the sizes of all groups before this one."""
        tree, total = self._tree, 0
        while group:
            total += tree[group]
            group &= group - 1
        return total

    def find(self, index: int) -> tuple[int, int]:
        """The group of an element, and its index there; one past the last group if there are not so many elements."""
        tree, group, step = self._tree, 0, self._half
        count = len(tree)
        while step:
            node = group + step
            if node < count and tree[node] <= index:
                index -= tree[node]
                group = node
            step >>= 1
        return group, index
