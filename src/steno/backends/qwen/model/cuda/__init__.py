"""Accelerations that exist on CUDA only. They change speed, not results. None has run on a GPU yet."""
