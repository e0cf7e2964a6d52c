"""Who speaks: voice embeddings of short windows, and their clusters. Knows nothing of engines or HTTP."""
