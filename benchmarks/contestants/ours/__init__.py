"""This repository, as it ships."""
