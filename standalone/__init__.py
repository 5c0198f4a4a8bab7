"""The whole system on one machine: engines from wheels, and each part by its own command."""
