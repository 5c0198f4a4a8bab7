"""Pin the newest versions that work together: `./dev lock` writes the requirements files."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]

#: file -> project and its extra. Each file holds what the files before it do not, and agrees with them.
FILES: Final = {
    "requirements.txt": ("pyproject.toml", ""),
    "requirements-client.txt": ("client/pyproject.toml", ""),
    "requirements-standalone.txt": ("pyproject.toml", "standalone"),
    "requirements-dev.txt": ("pyproject.toml", "dev"),
}
#: This one holds all that its project needs: the client is also installed alone.
COMPLETE: Final = "requirements-client.txt"

#: Where packages come from on this machine is none of the files' business.
_OPTIONS: Final = ("--allow-unsafe", "--strip-extras", "--no-annotate", "--no-header", "--no-emit-options", "--quiet")


def main() -> int:
    """Write all files."""
    pins: list[str] = []
    for name, (project, extra) in FILES.items():
        fresh = [pin for pin in _compile(project, extra, pins) if pin not in pins or name == COMPLETE]
        _check(fresh)
        (ROOT / name).write_text("\n".join([f"# Made by ./dev lock from {project}.", *fresh, ""]))
        print(f"{name}: {len(fresh)} packages")
        pins += fresh
    return 0


def _compile(project: str, extra: str, pins: Sequence[str]) -> list[str]:
    """Return the pins of a project with an extra, bound to earlier pins."""
    with tempfile.TemporaryDirectory() as directory:
        constraints, output = Path(directory, "constraints.txt"), Path(directory, "output.txt")
        constraints.write_text("\n".join(pins))
        command = [sys.executable, "-m", "piptools", "compile", project, *_OPTIONS]
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
