"""Scripts that make tables and clouds of the media that were trained on; see docs/results.md."""
