"""The page of a night: figures from the published tables, charts, texts and templates, without Spark."""
