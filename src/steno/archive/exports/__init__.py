"""Datasets in the formats of other tools. `registry` lists them; the archive itself is not changed."""
