"""The encoder on other runtimes than torch: files of `steno export encoder`, how they are written and who runs them."""
