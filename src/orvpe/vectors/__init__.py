"""Embeddings as tables and as an index to search."""
