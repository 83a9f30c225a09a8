"""Measurements of what the project promises; each prints a table for docs/performance.md."""
