"""The parts of the Telegram bot: intake, texts, pacing, sending, and what an update comes to."""
