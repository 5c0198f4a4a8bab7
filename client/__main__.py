"""`python -m client`: the command line."""

import sys

try:
    from .cli import main
except ModuleNotFoundError as error:
    if error.name != "requests":
        raise
    print("python -m client: this Python has no requests: type ./dev client, or first pip install requests", file=sys.stderr)
    sys.exit(2)

sys.exit(main())
