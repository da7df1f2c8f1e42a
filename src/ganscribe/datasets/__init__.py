"""Prepared data: images, captions, tokens, pixels."""
