"""When the kernel gives up a peer that is silently gone: within some 5 s, whether or not something is on its way to it.

tcp(7): TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT.
"""

from typing import Final

IDLE_S: Final = 2
INTERVAL_S: Final = 1
COUNT: Final = 3
USER_TIMEOUT_MS: Final = 5000
