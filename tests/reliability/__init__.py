"""Reliability: tests of nights whose processes, store or input misbehave."""
