"""What a browser would send of a form that a page shows."""

import re
from html import unescape
from typing import Any


def form_on(seen: Any, id: str) -> dict[str, str]:
    form = seen.text[seen.text.index(f'<form id="{id}"') :].split("</form>")[0]
    fields: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = (re.search(rf' {attribute}="([^"]*)"', tag) for attribute in ("name", "value"))
        if name and (not re.search(r' type="(radio|checkbox)"', tag) or " checked" in tag):
            fields[name[1]] = unescape(value[1]) if value else ""
    areas = re.findall(r'<textarea[^>]*? name="(\w+)"[^>]*>\n?(.*?)</textarea>', form, re.S)
    chosen = re.findall(r'<select[^>]*? name="(\w+)"[^>]*>.*?<option value="(\w+)"[^>]* selected', form, re.S)
    return fields | {name: unescape(text) for name, text in [*areas, *chosen]}


def beside(seen: Any, id: str) -> str:
    """The words that stand at a field, or what is told of its colleagues."""
    tag, rest = re.search(rf'<(\w+)[^>]* id="{id}"[^>]*>(.*)', seen.text, re.S).groups()
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", rest.split(f"</{tag}>")[0])).split())
