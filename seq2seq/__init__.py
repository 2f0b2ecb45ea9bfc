"""The model: dialogue text in, a trained encoder-decoder LSTM out; a context in, ranked replies out."""
