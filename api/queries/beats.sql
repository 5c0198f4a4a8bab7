-- How many instances of each part beat, by the database's clock.
SELECT part, count(*) FROM instances WHERE beat_at > clock_timestamp() - interval '5 seconds' GROUP BY part
