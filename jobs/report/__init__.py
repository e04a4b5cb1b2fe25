"""report: what the page of a night is made of: figures from the published tables, charts, words and templates.

`jobs/steps/nightly_report.py` reads and writes; here nothing does. Each section of the page has a module of its own: a
query over the day's tables and what comes of it, in plain values. templates/ say it, locale/ in other languages.
"""
