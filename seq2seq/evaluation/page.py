"""What the report is built of: style sheet, tables, figures, tiles, talks. All text given to them is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from seq2seq.errors import Seq2SeqError

STYLE = """
:root { color-scheme: light dark; --ink: #1c2130; --soft: #626d80; --line: #dfe3ea; --paper: #f6f7f9; --card: #fff;
  --bubble: #eceff4; --c0: #2f66c9; --c1: #d97f1e; --c2: #35916a; --c3: #9c55b5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e5e9f0; --soft: #9aa5b8; --line: #323a4a; --paper: #12151c;
  --card: #1a1f29; --bubble: #283040; --c0: #6d9df0; --c1: #efa252; --c2: #62c298; --c3: #c98be0; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1080px;
  margin: 0 auto; padding: 1.5rem 1rem 4rem; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .4rem 0 .6rem; } h2 { font-size: 1.3rem; margin: 2.6rem 0 .4rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
p { max-width: 46rem; margin: .3rem 0 .7rem; } .soft { color: var(--soft); font-size: .88rem; }
nav { margin: 1rem 0; font-size: .9rem; } nav a { color: var(--c0); margin-right: 1.1rem; white-space: nowrap; }
code { font: .85em ui-monospace, monospace; overflow-wrap: anywhere; }
figure, .card { background: var(--card); border: 1px solid var(--line); border-radius: .7rem; margin: 0 0 1rem;
  padding: .9rem 1.1rem .6rem; min-width: 0; break-inside: avoid; }
figcaption { font-weight: 600; margin-bottom: .6rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: 0 1rem;
  align-items: start; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .7rem; margin: 1rem 0; }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: .7rem; padding: .7rem .9rem; }
.tiles b { display: block; font-size: 1.45rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: .82rem; line-height: 1.35; display: block; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; width: 100%; }
th, td { padding: .28rem 0 .28rem 1rem; border-bottom: 1px solid var(--line); vertical-align: top; text-align: right;
  white-space: nowrap; }
th { font-weight: 600; } th:first-child, td:first-child { text-align: left; padding-left: 0;
  white-space: normal; }
tbody tr:last-child td { border-bottom: 0; }
.texts th, .texts td { text-align: left; white-space: normal; } .texts .count { text-align: right; }
.made { margin: .5rem 0 0; } .made summary { list-style: none; cursor: pointer; color: var(--soft); font-size: .78rem;
  overflow: hidden; white-space: nowrap; text-overflow: ellipsis; }
.made summary::-webkit-details-marker { display: none; } .made summary::before { content: "$ "; }
.made[open] summary { white-space: normal; overflow: visible; }
.c0 { background: var(--c0); } .c1 { background: var(--c1); } .c2 { background: var(--c2); }
.c3 { background: var(--c3); }
.bars { display: grid; grid-template-columns: minmax(7rem, 13rem) 1fr; gap: .5rem .9rem; margin: 0;
  font-size: .9rem; }
.bars dt { color: var(--soft); line-height: 1.3; } .bars dd { margin: 0; min-width: 0; }
.bar { display: flex; align-items: center; gap: .5rem; margin-bottom: 2px; }
.bar span { flex: 1; position: relative; height: .95rem; } .bar b { width: 4.2rem; font-weight: 400;
  font-size: .82rem; font-variant-numeric: tabular-nums; }
.bar i { display: block; height: 100%; border-radius: 0 3px 3px 0; min-width: 1px; }
.bar u { position: absolute; top: -2px; bottom: -2px; border-left: 2px dashed var(--soft); }
.both i { position: absolute; top: .36rem; height: .22rem; border-radius: 2px; }
.both s { position: absolute; top: .12rem; width: .7rem; height: .7rem; margin-left: -.35rem; border-radius: 50%; }
.columns { display: flex; gap: 3px; } .columns div { flex: 1; min-width: 0; text-align: center; }
.columns span { display: flex; align-items: flex-end; gap: 1px; height: 9rem; border-bottom: 1px solid var(--line); }
.columns i { flex: 1; border-radius: 2px 2px 0 0; } .columns b { font: .72rem system-ui, sans-serif;
  color: var(--soft); }
.legend { margin: .5rem 0 0; font-size: .82rem; color: var(--soft); } .legend span { margin-right: 1.1rem; }
.legend i { display: inline-block; width: .7rem; height: .7rem; border-radius: 2px; margin-right: .4rem; }
.talk { list-style: none; margin: 0 0 .5rem; padding: 0; display: flex; flex-direction: column; gap: .3rem; }
.talk li { background: var(--bubble); border-radius: .9rem .9rem .9rem .2rem; padding: .3rem .75rem; max-width: 88%;
  align-self: flex-start; }
.talk .bot { align-self: flex-end; border-radius: .9rem .9rem .2rem .9rem; border: 1.5px solid var(--c0);
  background: none; }
.others { display: grid; grid-template-columns: auto 1fr; gap: .1rem .7rem; margin: 0 0 .3rem; font-size: .85rem; }
.others dt { color: var(--soft); } .others dd { margin: 0; }
@media (max-width: 34rem) { .bars { grid-template-columns: 1fr; gap: .15rem; } .bars dd { margin-bottom: .5rem; }
  figure, .card { padding: .7rem .8rem .5rem; } th, td { padding-left: .6rem; font-size: .85rem; } }
"""


def page(title: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def figure(caption: str, content: str, command: str) -> str:
    """Put a chart or a table into a frame with what it shows and the command that made it."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{content}{made_by(command)}</figure>"


def made_by(command: str) -> str:
    """Name a command in one line, cut where it is too long, and whole after a click."""
    return f'<details class="made"><summary><code>{escape(command)}</code></summary></details>'


def write_page(path: Path, html: str, *, is_private: bool = False) -> None:
    """Write a page whole, or leave what was there.

    Args:
        is_private: only the owner may read it.

    Raises:
        Seq2SeqError: the disk refuses.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        part.touch(mode=0o600 if is_private else 0o666)
        part.write_text(html, encoding="utf-8", errors="replace")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise Seq2SeqError(f"{path}: cannot write the report ({error.strerror or error})") from error


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, texts: bool = False) -> str:
    """Return a table of figures; of ``texts``, which wrap, where asked for."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(value)}</td>" for value in row) + "</tr>" for row in rows)
    kind = ' class="texts"' if texts else ""
    return f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def tiles(figures: Sequence[tuple[str, str]]) -> str:
    """Show a few figures large, each with what it is."""
    shown = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in figures)
    return f'<div class="tiles">{shown}</div>'


def talk(turns: Sequence[str], bots: Sequence[bool]) -> str:
    """Show turns as bubbles, those of the bot at the right."""
    shown = "".join(
        f"<li{' class=bot' if bot else ''}>{escape(turn) or '&nbsp;'}</li>"
        for turn, bot in zip(turns, bots, strict=True)
    )
    return f'<ol class="talk">{shown}</ol>'


def grid(parts: Sequence[str]) -> str:
    return f'<div class="grid">{"".join(parts)}</div>'
