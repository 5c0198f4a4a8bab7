"""Publishes what is due, makes due again what a crash left, and deletes what is old."""
