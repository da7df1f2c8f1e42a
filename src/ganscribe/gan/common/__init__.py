"""What every run of the family takes: the recipe, the training loop, losses and layers, sampling."""
