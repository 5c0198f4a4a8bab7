"""Small experiments behind decisions; each needs a DATABASE_URL and says in its head what it asks."""
