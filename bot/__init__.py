"""The live conversation: from a person's message to the reply they read, and what is remembered of it."""
