"""A client for the HTTP interface; imports nothing else of this repository."""
