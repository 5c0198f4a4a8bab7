-- How many jobs are unfinished, counted up to a limit. While the table is too small to hold that many (a row takes more
-- than 80 bytes), nothing is counted.
SELECT CASE
    WHEN pg_relation_size('live_jobs') < %(limit)s::bigint * 80 THEN 0
    ELSE (SELECT count(*) FROM (SELECT FROM live_jobs LIMIT %(limit)s) bounded)
END
