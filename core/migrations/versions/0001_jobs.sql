-- A job is one row in `jobs` from its acceptance on: what was asked and, once it is finished, the outcome.
-- It is written twice in its life: when it is accepted and when it is finished.
CREATE TABLE jobs (
    task_id uuid PRIMARY KEY,           -- UUIDv7: in the order of acceptance
    task text NOT NULL,                 -- the task's Celery name
    owner text NOT NULL,
    queue text NOT NULL,                -- the logical queue, as the task names it
    args text NOT NULL,                 -- a JSON object, to the letter as it was accepted (jsonb would change numbers)
    links text,                         -- JSON list of Celery signatures to call with the result, or null
    parent_id uuid,                     -- the job that made this one
    retry_of uuid,                      -- the finished job that this one repeats
    max_attempts integer,               -- null: retried for ever
    created_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL,
    -- the outcome; null as long as the job is in live_jobs
    status text CHECK (status IN ('SUCCESS', 'FAILURE', 'REVOKED')),
    result text,                        -- JSON, to the letter
    error text,                         -- JSON object {"type", "message"}
    progress text,                      -- JSON object {"done", "total"}, the last one seen
    attempts integer,
    started_at timestamptz,             -- start of the last attempt
    finished_at timestamptz
) WITH (fillfactor = 75);

-- Work in flight: one narrow row per unfinished job, gone with the outcome. All that changes while a job lives is here,
-- and no index names a column that a claim, a publication or a finish changes, so those updates are HOT. (publish_at stays
-- out of every index: a partial index on it alone makes all of them cold, whether or not it holds the row.)
CREATE TABLE live_jobs (
    task_id uuid PRIMARY KEY,
    queue text NOT NULL,
    priority smallint NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'STARTED', 'RETRY')),
    series integer NOT NULL DEFAULT 1,  -- how often it became due to run anew; a message is for one series
    delayed_until timestamptz,          -- waits for this time; the relay clears it when the time has come
    publish_at timestamptz,             -- when the relay should publish it (again); null: nothing to publish
    published_at timestamptz,           -- when the broker confirmed this series
    attempts integer NOT NULL DEFAULT 0,-- claims; one that was handed back at a drain does not count
    retries integer NOT NULL DEFAULT 0, -- failed attempts
    losses integer NOT NULL DEFAULT 0,  -- attempts whose worker vanished
    unknowns integer NOT NULL DEFAULT 0,-- deliveries to workers that do not know the task
    token uuid,                         -- the right to write the outcome; changes with each claim
    worker text,                        -- the instance that runs it, as in instances.instance_id
    started_at timestamptz,
    error text,                         -- of the last failed attempt
    progress text,
    CHECK (status <> 'STARTED' OR (token IS NOT NULL AND worker IS NOT NULL AND started_at IS NOT NULL))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_threshold = -1);

CREATE INDEX live_jobs_waiting ON live_jobs (queue, priority DESC, task_id) WHERE delayed_until IS NULL;
CREATE INDEX live_jobs_delayed ON live_jobs (delayed_until) WHERE delayed_until IS NOT NULL;

-- The attempt log: one row per attempt, written once, when the attempt has ended.
CREATE TABLE attempts (
    task_id uuid NOT NULL,
    series integer NOT NULL,
    number integer NOT NULL,            -- as `attempts` counted it
    worker text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome text NOT NULL CHECK (outcome IN ('SUCCESS', 'FAILURE', 'LOST', 'HANDED_BACK', 'REVOKED')),
    error text,
    traceback text,
    PRIMARY KEY (task_id, series)
);

-- Running schedulers and workers. `beat` is a counter: the scheduler judges by its own clock whether it stands still.
CREATE TABLE instances (
    instance_id text PRIMARY KEY,
    part text NOT NULL CHECK (part IN ('scheduler', 'worker')),
    beat bigint NOT NULL DEFAULT 1,
    beat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tokens uuid[] NOT NULL DEFAULT '{}',-- of the attempts that it holds
    slots integer NOT NULL DEFAULT 0,
    queues text[] NOT NULL DEFAULT '{}'
) WITH (fillfactor = 20);

CREATE TABLE idempotency_keys (
    owner text NOT NULL,
    key text NOT NULL,
    fingerprint text NOT NULL,          -- SHA-256 of task, arguments and options, canonical
    task_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (owner, key)
);
CREATE INDEX idempotency_keys_expires_at ON idempotency_keys (expires_at);
