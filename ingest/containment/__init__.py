"""Decoders in processes of their own: a file that kills or hangs one costs one item, and nothing else.

    Dask worker ──── client ─────── server ──────── guard ──────────── decoder process
    (threads)        asks           imports the     one for each       does a task; in suspect mode it forks
                                    decoders once   thread             again for every single item

Everything below the server is a fork of it, so nothing is imported twice. Nothing outlives its parent.
"""
