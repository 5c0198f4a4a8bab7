"""The worker's side: `arq tasks.WorkerSettings`."""

import os
from typing import Any

from arq.connections import RedisSettings

REDIS_SETTINGS = RedisSettings(unix_socket_path=os.environ["REDIS_SOCKET"], database=int(os.environ["REDIS_DATABASE"]))


async def add(_: dict[str, Any], x: int, y: int) -> int:
    return x + y


class WorkerSettings:
    functions = (add,)
    redis_settings = REDIS_SETTINGS
