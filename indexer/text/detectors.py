"""What detect-secrets offers, imported one module at a time."""

from __future__ import annotations

import re
from functools import cache
from threading import Lock
from types import ModuleType


def has_digit_and_cases(value: str) -> bool:
    """Whether the value has a digit, a lower-case letter and an upper-case one."""
    return bool(re.search("[0-9]", value) and re.search("[a-z]", value)) and (
        value.lower() != value
    )


def has_digit(value: str) -> bool:
    """Whether there is an ASCII digit in the value."""
    return any("0" <= character <= "9" for character in value)


_importing = Lock()


@cache
def library(module: str) -> ModuleType:
    """A module of detect-secrets, which takes 0.1 s to import.

    By one thread at a time: its modules import each other in a circle, and threads that
    begin at different places of it wait for one another.
    """
    from importlib import import_module

    with _importing:
        import detect_secrets

        return import_module(f".{module}", detect_secrets.__name__)


MODULES = {
    "AWSKeyDetector": "aws",
    "ArtifactoryDetector": "artifactory",
    "AzureStorageKeyDetector": "azure_storage_key",
    "BasicAuthDetector": "basic_auth",
    "CloudantDetector": "cloudant",
    "DiscordBotTokenDetector": "discord",
    "GitHubTokenDetector": "github_token",
    "GitLabTokenDetector": "gitlab_token",
    "IbmCloudIamDetector": "ibm_cloud_iam",
    "IbmCosHmacDetector": "ibm_cos_hmac",
    "JwtTokenDetector": "jwt",
    "MailchimpDetector": "mailchimp",
    "NpmDetector": "npm",
    "OpenAIDetector": "openai",
    "PypiTokenDetector": "pypi_token",
    "SendGridDetector": "sendgrid",
    "SlackDetector": "slack",
    "SoftlayerDetector": "softlayer",
    "SquareOAuthDetector": "square_oauth",
    "StripeDetector": "stripe",
    "TelegramBotTokenDetector": "telegram_token",
    "TwilioKeyDetector": "twilio",
}
