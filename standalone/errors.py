"""What stops the whole system, with a sentence for the user."""

from typing import Final

#: sysexits.h: something is wrong in the configuration. A part that ends so is not started again.
EX_CONFIG: Final = 78


class StandaloneError(Exception):
    """The system cannot start or go on; str(error) is one clear sentence that says what to do."""
