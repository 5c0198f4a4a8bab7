"""Break the service in every way that we know: `./dev faults`; with --full, at the sizes of docs/reliability.md.

Other arguments go to pytest; with the name of a file or of cases (-k), only these are run, and only their rows written.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]


def main(arguments: Sequence[str]) -> int:
    """Return pytest's exit code."""
    if "--full" in arguments:
        os.environ["FAULTS"] = "full"
    rest = [argument for argument in arguments if argument != "--full"]
    has_paths = any((ROOT / argument.partition("::")[0]).exists() for argument in rest if not argument.startswith("-"))
    return pytest.main([*([] if has_paths else ["tests/faults"]), *rest])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
