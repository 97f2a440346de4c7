"""One file per paper; the folder is the registry: `maskloom train mae` runs `recipe()` of `mae.py`."""
