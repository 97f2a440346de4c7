"""Pure functions on pixels: decode, render, cut into patches, describe."""
