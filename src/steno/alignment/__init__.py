"""Word times and confidences without a model: estimated by text, repaired, or derived from token scores."""
