"""Servers that tests start: S3, Spark, Airflow, Chromium."""
