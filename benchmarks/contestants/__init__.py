"""One folder per stack: its program, its pinned requirements, and its adapter."""
