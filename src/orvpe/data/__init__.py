"""Pose files into stores: readers, the store, data-set protocols, `ingest`, `inspect`, `select`."""
