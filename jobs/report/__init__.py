"""The page of a night: figures from the published tables, charts, words and templates, without Spark."""
