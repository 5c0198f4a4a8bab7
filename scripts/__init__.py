"""What ./dev runs for developers."""
