"""Learning from conversations: exchanges collected, trained on, measured, judged; a better model out, or none."""
