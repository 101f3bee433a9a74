from __future__ import annotations

import pytest

from determined.common.terminal import visible, visible_log


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("naïve 日本 👩‍🔬", "naïve 日本 👩‍🔬"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\click", "click"),
        ("\x1bc\x1b[2Jgone", "gone"),
        ("cut \x1b[", "cut \\x1b["),
        ("a\nb\rc\td\x00\x7f\x9b", "a\\nb\\rc\\td\\x00\\x7f\\x9b"),
        ("\u202eevil\u2028x", "\\u202eevil\\u2028x"),
        ("\ud800", "\\ud800"),
        (7, "7"),
    ],
)
def test_nothing_in_a_text_can_steer_the_terminal(text: object, shown: str) -> None:
    assert visible(text) == shown


def test_log_lines_keep_their_ends_and_what_a_progress_bar_overwrote() -> None:
    assert visible_log("10%\r20%\r\n\tdone\x1b[2K\n") == "10%\n20%\n\tdone\n"
