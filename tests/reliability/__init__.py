"""Reliability: what a night does when its processes, its store and its input misbehave."""
