"""Benchmarks against today's peers: `python -m tests.benchmarks --help`, see README.md."""
