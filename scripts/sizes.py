"""Check that files and functions stay small enough to be read at once: `python -m scripts.sizes`."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
FILE_LIMIT_LINES: Final = 300
FUNCTION_LIMIT_LINES: Final = 60

#: client.py is one file on purpose, library and demo: users copy it.
EXEMPT: Final = {"client/client.py": 700}


def main() -> int:
    """Print each file and function that is too long; return 1 if there is one."""
    problems = [problem for path in source_files(ROOT) for problem in find_problems(path)]
    print("\n".join(problems))
    return 1 if problems else 0


def source_files(root: Path) -> Iterator[Path]:
    """Yield all Python files below root that are not in a hidden directory; and ./dev."""
    yield root / "dev"
    for path in sorted(root.rglob("*.py")):
        if not any(part.startswith(".") for part in path.relative_to(root).parts):
            yield path


def find_problems(path: Path) -> Iterator[str]:
    """Yield a sentence for each limit that a file breaks."""
    text = path.read_text(encoding="utf-8")
    count = len(text.splitlines())
    limit = next((lines for name, lines in EXEMPT.items() if path == ROOT / name), FILE_LIMIT_LINES)
    # a file of tests is a list, not a story; support code of tests is as any other
    if count > limit and not path.name.startswith("test_"):
        yield f"{path}: {count} lines, more than {limit}: split it by its nouns"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            length = node.end_lineno - node.lineno + 1
            if length > FUNCTION_LIMIT_LINES:
                place = f"{path}:{node.lineno}: {node.name}"
                yield f"{place} has {length} lines, more than {FUNCTION_LIMIT_LINES}: tell it in steps"


if __name__ == "__main__":
    sys.exit(main())
