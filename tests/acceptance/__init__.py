"""The service as its users meet it: real processes, real engines, HTTP."""
