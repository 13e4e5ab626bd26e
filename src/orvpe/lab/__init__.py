"""Experiments and benchmarks; nothing else imports it."""
