"""Text as the server takes it: length in code points, offsets in UTF-16 units, and what markup is in error."""

from __future__ import annotations

import html
import re
from typing import Any

from tests.emulator.errors import bad_request

MAX_CHARACTERS = 4096
MAX_BYTES = 32768
_TAGS = {"b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "a", "code", "pre", "span", "blockquote"}
_TAGS |= {"tg-spoiler", "tg-emoji"}
_TAG = re.compile(r"<(/?)([A-Za-z0-9-]*)([^<>]*)(>?)")
_RESERVED = "_*[]()~`>#+-=|{}.!"
_PAIRS = {"*": "Bold", "_": "Italic", "__": "Underline", "~": "Strikethrough", "||": "Spoiler", "`": "Code"}
_FOUND = re.compile(r"(?<![\w/])(?P<bot_command>/[A-Za-z0-9_]{1,32}(?:@\w{3,32})?)|(?<!\w)(?P<mention>@\w{3,32})")


def utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def find_entities(text: str) -> list[dict[str, Any]]:
    """Return the commands and mentions in a text, as the server marks them."""
    return [
        {
            "type": match.lastgroup,
            "offset": utf16_length(text[: match.start()]),
            "length": utf16_length(match.group()),
        }
        for match in _FOUND.finditer(text)
    ]


def checked_text(text: Any, parse_mode: str | None) -> str:
    """Return a text as it will be shown.

    Raises:
        ApiError: it is empty, too long, or its markup is in error.
    """
    if not isinstance(text, str) or "\x00" in text:
        raise bad_request("message text is empty")
    try:
        if len(text.encode()) > MAX_BYTES:
            raise bad_request("text is too long")
    except UnicodeEncodeError:
        raise bad_request("strings must be encoded in UTF-8") from None
    if parse_mode is not None and parse_mode.lower() == "html":
        text = _parse_html(text)
    elif parse_mode is not None and parse_mode.lower() == "markdownv2":
        text = _parse_markdown(text)
    elif parse_mode:
        raise bad_request("unsupported parse_mode")
    text = text.strip()
    if not text:
        raise bad_request("message text is empty")
    if len(text) > MAX_CHARACTERS:
        raise bad_request("message is too long")
    return text


def _cannot_parse(problem: str) -> Exception:
    return bad_request(f"can't parse entities: {problem}")


def _parse_html(text: str) -> str:
    shown, open_tags, at = [], [], 0
    while (start := text.find("<", at)) >= 0:
        shown.append(text[at:start])
        where = f"at byte offset {len(text[:start].encode())}"
        tag = _TAG.match(text, start)
        assert tag is not None
        closes, name, _, end = tag.groups()
        if not end:
            raise _cannot_parse(f"Unclosed {'end' if closes else 'start'} tag {where}")
        if closes:
            if not open_tags:
                raise _cannot_parse(f"Unexpected end tag {where}")
            expected = open_tags.pop()
            if name and name.lower() != expected:
                raise _cannot_parse(f'Unmatched end tag {where}, expected "</{expected}>", found "</{name}>"')
        elif name.lower() not in _TAGS:
            raise _cannot_parse(f'Unsupported start tag "{name.lower()}" {where}')
        else:
            open_tags.append(name.lower())
        at = tag.end()
    if open_tags:
        offset = len(text.encode())
        raise _cannot_parse(
            f'Can\'t find end tag corresponding to start tag "{open_tags[-1]}" at byte offset {offset}'
        )
    return html.unescape("".join([*shown, text[at:]]))


def _parse_markdown(text: str) -> str:
    shown: list[str] = []
    open_marks: list[tuple[str, int]] = []
    at = 0
    while at < len(text):
        mark = text[at : at + 2] if text[at : at + 2] in ("__", "||") else text[at]
        if mark == "\\" and at + 1 < len(text) and ord(text[at + 1]) < 127:
            shown.append(text[at + 1])
            at += 2
        elif mark in _PAIRS:
            if open_marks and open_marks[-1][0] == mark:
                open_marks.pop()
            else:
                open_marks.append((mark, at))
            at += len(mark)
        elif mark in _RESERVED:
            raise _cannot_parse(f"Character '{mark}' is reserved and must be escaped with the preceding '\\'")
        else:
            shown.append(mark)
            at += 1
    if open_marks:
        mark, start = open_marks[-1]
        offset = len(text[:start].encode())
        raise _cannot_parse(f"Can't find end of {_PAIRS[mark]} entity at byte offset {offset}")
    return "".join(shown)
