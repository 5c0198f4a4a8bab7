"""Look at the code with all tools: `./dev check`. Goes on after a tool has complained; exit code 1 if one did."""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]

CHECKS: Final = (
    ("ruff check", (sys.executable, "-m", "ruff", "check", ".")),
    ("ruff format", (sys.executable, "-m", "ruff", "format", "--check", ".")),
    ("mypy --strict", (sys.executable, "-m", "mypy", "--strict")),
    ("import-linter", (str(Path(sys.executable).with_name("lint-imports")), "--no-logo")),
    ("sizes", (sys.executable, "-m", "scripts.sizes")),
    ("migrations", (sys.executable, "-m", "scripts.migration_rules")),
)


def main() -> int:
    """Run all checks; show what those say that fail."""
    failed = 0
    for name, command in CHECKS:
        outcome = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if outcome.returncode != 0:
            failed += 1
            print(outcome.stdout)
        print(f"{name}: {'ok' if outcome.returncode == 0 else 'FAILED'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
