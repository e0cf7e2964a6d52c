"""Chat logs: readers, and the recording's clock for their messages."""
