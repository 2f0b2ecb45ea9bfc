"""How good a model is: likelihood, replies, relevance and behaviour measured, compared, and put on a page."""
