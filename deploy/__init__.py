"""What Compose needs besides the parts: credentials and the engines' configuration."""
