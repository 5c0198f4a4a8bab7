"""Kill, stop, wipe and restart what the service is made of, under load, and count what became of every job."""
