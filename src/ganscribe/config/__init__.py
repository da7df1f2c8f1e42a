"""Parameters: params.yaml and params/<scale>.yaml, checked as a whole, handed out stage by stage."""

from ganscribe.config.reading import parse_yaml, read, read_yaml
from ganscribe.config.selection import load, select

__all__ = ["load", "parse_yaml", "read", "read_yaml", "select"]
