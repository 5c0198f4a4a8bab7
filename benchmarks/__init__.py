"""Figures, side by side with other stacks: `python -m benchmarks`. README.md says how it measures."""
