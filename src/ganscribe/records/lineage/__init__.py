"""Where an artifact comes from, and the way back to it."""
