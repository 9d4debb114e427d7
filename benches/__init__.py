"""Benchmarks: ``python -m benches.run``; docs/benchmarks.md tells how to read them."""
