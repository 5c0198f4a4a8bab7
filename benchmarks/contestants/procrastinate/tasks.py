"""The app and the task: `procrastinate --app=tasks.app worker`."""

import os

from procrastinate import App, PsycopgConnector

#: "The shorter your average job execution time, the more your pool will need to contain as many connections as your
#: concurrency (plus one)" (its discussion of asynchronous operations).
POOL_SIZE = int(os.environ["POOL_SIZE"])

app = App(connector=PsycopgConnector(conninfo=os.environ["DATABASE_URL"], min_size=POOL_SIZE, max_size=POOL_SIZE))


@app.task(name="add")
async def add(x: int, y: int) -> int:
    return x + y
