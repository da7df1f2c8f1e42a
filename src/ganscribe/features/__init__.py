"""Inception-v3 features: the network, its geometry, pictures, extraction, Parquet shards."""
