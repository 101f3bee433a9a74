"""Texts that would do something on a page that takes them for more than texts."""

from __future__ import annotations

MARK = "window.broken=1"
AWAY = "http://elsewhere.invalid"
CORPUS = (
    f'<img src=x onerror="{MARK}">',
    f"<script>{MARK}</script>",
    f'"><svg onload="{MARK}">',
    f"'-alert(1)-' onmouseover={MARK} autofocus onfocus={MARK} x='",
    f"javascript:{MARK}",
    f"</title></textarea></style><script>{MARK}</script>",
    f"<iframe srcdoc='<script>parent.{MARK}</script>'></iframe>",
    f"<a href='javascript:{MARK}'>a</a>",
    f"<style>@import '{AWAY}/s.css';*{{background:url({AWAY}/b.png)}}</style>",
    f"<img src='{AWAY}/leak.png'><link rel=stylesheet href='{AWAY}/l.css'>",
    f'<form action="{AWAY}"><button autofocus>b</button></form><meta http-equiv=refresh content="0;{AWAY}">',
    f"{{{{constructor.constructor('{MARK}')()}}}}${{{MARK}}}",
    "&lt;b&gt;&amp;#x3c;%3Cscript%3E",
    "__proto__",
    "constructor",
    "\u202etxt.exe\u202c \u200b#1",
)
LINES = (
    *CORPUS,
    f"\x1b[31mred\x1b[0m \x1b]8;;javascript:{MARK}\x07link\x1b]8;;\x07",
    "\u202elanoitceridib\u2066\u2069\u202c \u200f\ufeff",
    "long " + f"<img src=x onerror={MARK}>" * 2_000,
)
"""Those, and what only a log can hold: controls of terminals, directions, and lines without an end."""
