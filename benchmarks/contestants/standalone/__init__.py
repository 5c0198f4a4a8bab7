"""This repository as `./dev run` starts it: Valkey carries the jobs."""
