-- How many slots of running workers consume from each queue.
SELECT queue, sum(slots)::integer FROM instances CROSS JOIN unnest(queues) AS queue WHERE part = 'worker' GROUP BY queue
