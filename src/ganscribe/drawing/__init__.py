"""Plots and figures."""
