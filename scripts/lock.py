"""Pin the newest versions that work together: `./dev lock` writes the requirements files from pyproject.toml."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]

#: file -> extra of pyproject.toml. Each file holds what the files before it do not, and agrees with them.
FILES: Final = {
    "requirements.txt": "",
    "requirements-client.txt": "client",
    "requirements-standalone.txt": "standalone",
    "requirements-dev.txt": "dev",
}

#: Where packages come from on this machine is none of the files' business.
_OPTIONS: Final = ("--allow-unsafe", "--strip-extras", "--no-annotate", "--no-header", "--no-emit-options", "--quiet")


def main() -> int:
    """Write all files."""
    pins: list[str] = []
    for name, extra in FILES.items():
        fresh = [pin for pin in _compile(extra, pins) if pin not in pins]
        _check(fresh)
        (ROOT / name).write_text("\n".join(["# Made by ./dev lock from pyproject.toml.", *fresh, ""]))
        print(f"{name}: {len(fresh)} packages")
        pins += fresh
    return 0


def _compile(extra: str, pins: Sequence[str]) -> list[str]:
    """Return the pins of pyproject.toml with an extra, bound to earlier pins."""
    with tempfile.TemporaryDirectory() as directory:
        constraints, output = Path(directory, "constraints.txt"), Path(directory, "output.txt")
        constraints.write_text("\n".join(pins))
        command = [sys.executable, "-m", "piptools", "compile", "pyproject.toml", *_OPTIONS]
        command += ["--constraint", str(constraints), "--output-file", str(output)]
        command += ["--extra", extra] if extra else []
        subprocess.run(command, cwd=ROOT, check=True)
        return [line for line in output.read_text().splitlines() if line and not line.startswith("#")]


def _check(pins: Sequence[str]) -> None:
    strange = [pin for pin in pins if "==" not in pin or "/" in pin]
    if strange:
        raise SystemExit(f"these are no plain pins: {', '.join(strange)}")


if __name__ == "__main__":
    sys.exit(main())
