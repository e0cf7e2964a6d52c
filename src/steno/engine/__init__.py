"""The engine: who may enter (`engine`), who is next (`queue`), how work runs (`scheduler`), when the model lives
(`lifecycle`)."""
