-- A worker that stopped in order: nobody needs to wait for its beat.
DELETE FROM instances WHERE instance_id = %(instance_id)s
