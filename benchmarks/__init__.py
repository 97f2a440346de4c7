"""How fast maskloom is beside its peers; see README.md. Nothing here is installed."""
