"""The metrics of the field, through the libraries that define them."""
