-- Remove an instance that is dead. Not if it has beaten since: then it is alive and was only slow.
DELETE FROM instances WHERE instance_id = %(instance_id)s AND beat = %(beat)s
