"""The engine: one backend and its work (`engine`), who is let in (`gate`, `ticket`), who is next (`queue`), how work
runs (`scheduler`), when the model lives (`lifecycle`)."""
