"""Chat exports: the files that messengers write of a chat, read as messages and cut into dialogues by silence.

A format's module turns what one messenger writes into ``ChatMessage``; ``sessions`` turns messages into dialogues;
``notes`` keeps count of what was read, what was skipped and why.
"""
