"""Tokenizers: from texts to token ids."""
