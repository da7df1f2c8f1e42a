"""What the training loops share."""
