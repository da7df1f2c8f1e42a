"""What all convnets share: layers, recipe, building, training, evaluation."""
