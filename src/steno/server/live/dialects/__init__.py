"""The languages in which live clients speak. Each is a sans-IO translator between its messages and typed events."""
