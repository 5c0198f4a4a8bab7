-- The asked priority outlives the job's row in live_jobs: a job that is run again keeps it.
ALTER TABLE jobs ADD COLUMN priority smallint NOT NULL DEFAULT 0;
UPDATE jobs j SET priority = l.priority FROM live_jobs l WHERE l.task_id = j.task_id AND l.priority <> 0;
