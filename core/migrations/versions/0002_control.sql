-- Control over jobs: cancel a running one, expire a waiting one, list the finished ones.

ALTER TABLE live_jobs
    ADD COLUMN cancel_requested boolean NOT NULL DEFAULT false, -- its worker interrupts the attempt at its next beat
    ADD COLUMN expires_at timestamptz;                          -- not started for the first time by then: REVOKED

-- Never updated after the insert, so claims and publications stay HOT.
CREATE INDEX live_jobs_expires_at ON live_jobs (expires_at) WHERE expires_at IS NOT NULL;

-- Finished jobs by task and status, to list them. Rows of their own, because an index on jobs.status would turn the update
-- that writes the outcome into writes to every index of jobs.
CREATE TABLE finished_jobs (
    task text NOT NULL,
    status text NOT NULL,
    task_id uuid NOT NULL,
    PRIMARY KEY (task, status, task_id)
);
INSERT INTO finished_jobs (task, status, task_id) SELECT task, status, task_id FROM jobs WHERE status IS NOT NULL;

-- Neither column is ever updated.
CREATE INDEX jobs_task ON jobs (task, task_id);

-- Whatever statement finishes a job, it is listed; and a finished job never changes, whatever statement tries.
CREATE FUNCTION list_finished_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO finished_jobs (task, status, task_id) VALUES (NEW.task, NEW.status, NEW.task_id);
    RETURN NULL;
END $$;
CREATE TRIGGER list_finished_job AFTER UPDATE OF status ON jobs
    FOR EACH ROW WHEN (NEW.status IS NOT NULL) EXECUTE FUNCTION list_finished_job();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'job % is finished and never changes', OLD.task_id;
END $$;
CREATE TRIGGER finished_job_never_changes BEFORE UPDATE ON jobs
    FOR EACH ROW WHEN (OLD.status IS NOT NULL) EXECUTE FUNCTION refuse_change();
