"""Pictures that the project draws itself, and captions of them."""
