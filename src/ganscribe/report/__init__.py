"""The report: one self-contained page, with data and model cards."""
