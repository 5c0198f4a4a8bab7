"""What may be the name of a queue, on every broker."""

import re
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
#: RabbitMQ keeps these names for itself (AMQP 0-9-1, 1.7.2.1).
_RESERVED: Final = "amq."

#: What is_queue_name() takes, in words.
QUEUE_NAME_RULE: Final = "up to 100 letters, digits, `_`, `-` and `.`, not beginning with `amq.`"


def is_queue_name(name: object) -> bool:
    """Tell whether this can be the name of a logical queue."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None and not name.startswith(_RESERVED)
