"""The attention captioner: model, training and decoding."""
