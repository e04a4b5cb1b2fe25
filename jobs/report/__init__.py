"""The report page of a night: its figures, charts, texts and templates. It reads published tables, without Spark."""
