"""The rules of check_night and check_window, and the tables that their queries look at."""
