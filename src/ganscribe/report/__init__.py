"""The report: one self-contained page with data cards and model cards, and a page that compares two runs."""
