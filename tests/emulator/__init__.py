"""A strict Bot API server of our own: what Telegram's does, on loopback, with faults on demand.

Only what a bot can see is kept to: offsets and redelivery, long polls, conflicts, limits, error texts, webhooks.
``python -m tests.emulator`` runs one; ``tests.emulator.client`` starts, commands and questions it.
"""
