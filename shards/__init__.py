"""On disk: what a dataset folder holds, how it is written, read and verified. The one contract between the halves."""
