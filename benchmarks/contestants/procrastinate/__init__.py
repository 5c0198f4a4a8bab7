"""procrastinate: jobs in PostgreSQL and nothing else, the peer with the same durability."""
