"""What can run: each module here is loaded at the start, and each typed shared_task becomes an endpoint."""
