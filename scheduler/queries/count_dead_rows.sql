-- Rows of live_jobs that are gone but not yet vacuumed.
SELECT pg_stat_get_dead_tuples('live_jobs'::regclass)
