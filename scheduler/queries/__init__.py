"""SQL statements that only this part uses."""
