"""Which test meets which field of the API's task objects."""

from __future__ import annotations

import ast
import json
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/reference/task-fields.md"
# Tests of a field that the page names beside each other.
SHOWN = 2
HEAD = """# Fields of tasks, and where they are tested

Every field of the objects that the operations of tasks and hardware constraints take and answer, as the API's
OpenAPI document names them. Made by `tools/field-table`; a test compares. Where a field is answered with a fixed
value, `docs/rest.md` says so.
"""


def objects() -> dict[str, set[str]]:
    """Return the fields of each object that operations of tasks take or answer."""
    found: dict[str, set[str]] = {}
    operations = json.loads((Path(__file__).parent / "facts.json").read_text())["openapi"]
    for name, told in operations.items():
        path = name.partition(" ")[2]
        if path.startswith(("/tasks", "/hardware-constraints")):
            for side in ("takes", "answers"):
                for schema, fields in told[side].items():
                    found.setdefault(schema, set()).update(fields)
    return dict(sorted(found.items()))


def table() -> tuple[str, list[str]]:
    """Return the page, and the fields that no test of their home names."""
    homes: dict[str, list[str]] = tomllib.loads((Path(__file__).parent / "homes.toml").read_text())
    lines = [HEAD]
    missing = []
    for schema, fields in objects().items():
        lines.append(f"\n## {schema}\n\n| field | tested in |\n|---|---|")
        for field in sorted(fields):
            tests = [test for file in homes.get(schema, []) for test in sorted(naming(file, field))][:SHOWN]
            if not tests:
                missing.append(f"{schema}.{field}")
            lines.append(f"| `{field}` | {', '.join(tests)} |")
    return "\n".join(lines) + "\n", missing


def naming(file: str, field: str) -> set[str]:
    """Return the tests of a file that name the field as it travels."""
    return {f"`{file}::{test}`" for test, words in _words(file).items() if field in words}


@cache
def _words(file: str) -> dict[str, set[str]]:
    """Return the texts that each test of a file has, those of the module's own names that it leads to included."""
    tree = ast.parse((ROOT / "tests" / file).read_text())
    own: dict[str, ast.AST] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            own.update((target.id, node) for target in targets if isinstance(target, ast.Name))

    def words(name: str, seen: set[str]) -> set[str]:
        seen.add(name)
        found: set[str] = set()
        for node in ast.walk(own[name]):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            if isinstance(node, ast.Name | ast.arg):
                led = node.id if isinstance(node, ast.Name) else node.arg
                if led in own and led not in seen:
                    found |= words(led, seen)
        # Parameters of a test come from decorators, which are part of the function's node.
        return found

    return {name: words(name, set()) for name in own if name.startswith("test_")}
