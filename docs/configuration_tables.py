"""Write the tables of ``guide/configuration.md`` from the docstrings in ``dynamokv/config.py``.

Run it after a change there: ``python docs/configuration_tables.py``. ``tests/test_docs.py`` fails
while the page says something else.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

from dynamokv import config

PAGE = Path(__file__).parent / "guide" / "configuration.md"
HEAD = "| field | default | unit, meaning, trade-off |\n|---|---|---|\n"


def docstrings(source: str, class_name: str) -> Iterator[tuple[str, str]]:
    """Each annotated field of a class, with the string that follows it."""
    tree = ast.parse(source)
    found = next(
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name
    )
    for node, following in zip(found.body, found.body[1:], strict=False):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        text = following.value if isinstance(following, ast.Expr) else None
        if not isinstance(text, ast.Constant) or not isinstance(text.value, str):
            raise ValueError(f"{class_name}.{node.target.id} has no docstring")
        yield node.target.id, " ".join(text.value.split())


def shown(default: Any) -> str:
    """A default, as it would be written in an environment variable, or TOML."""
    if default is None or default == ():
        return "none"
    if isinstance(default, Enum):
        default = default.name if isinstance(default, int) else default.value
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`"


def table(class_name: str) -> str:
    """The table of one class."""
    source = Path(config.__file__).read_text("utf-8")
    defaults = {field.name: field.default for field in fields(getattr(config, class_name))}
    rows = [
        f"| `{name}` | {shown(defaults[name])} | {text.replace('``', '`')} |\n"
        for name, text in docstrings(source, class_name)
    ]
    return HEAD + "".join(rows)


def page(text: str) -> str:
    """The page, with the tables as they should be."""
    for class_name in ("NodeConfig", "ClientConfig"):
        start, end = f"<!-- {class_name} -->\n", "<!-- end -->"
        pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise ValueError(f"{PAGE.name} needs one {start.strip()} ... {end}")
        made = start + table(class_name) + end
        text = pattern.sub(lambda _, made=made: made, text)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
