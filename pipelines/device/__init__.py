"""On the way to the device that learns: asynchronous copies, and pictures that are decoded there."""
