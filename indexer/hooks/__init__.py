"""Telling and asking others: events, the webhook, commands and mentions."""
