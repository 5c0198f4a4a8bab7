"""The limit of any submission: FastAPI alone."""
