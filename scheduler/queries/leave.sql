-- A clean stop.
DELETE FROM instances WHERE instance_id = %(instance_id)s
