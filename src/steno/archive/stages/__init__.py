"""The stages that a recording goes through: `stage` is their protocol, `registry` their order."""
