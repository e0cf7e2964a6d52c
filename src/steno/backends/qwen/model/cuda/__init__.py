"""What makes the same numbers come sooner on CUDA. Nothing of it has run on a GPU yet."""
