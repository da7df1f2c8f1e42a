"""The networks, one file for each: its name is what `network` of a recipe names."""
