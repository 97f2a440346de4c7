"""What all decoders raise."""

from shards.errors import MaskloomError


class DecodeError(MaskloomError):
    """Stored bytes are not what they should be: damaged, cut off, of another kind, or not of the recorded size."""
