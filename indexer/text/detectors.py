"""The detectors of credentials: those of detect-secrets, and our own made in the same way."""

from __future__ import annotations

import re
from functools import cache
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING

from indexer.environment import is_process_ours, standing_in

if TYPE_CHECKING:
    from detect_secrets.plugins.base import RegexBasedDetector

# The module of each detector of detect-secrets that is used.
_MODULES = {
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

# Credentials for which detect-secrets has no detector, or only one of an older shape.
_OWN_PATTERNS = {
    "Anthropic": r"sk-ant-[A-Za-z0-9_-]{24,128}",
    "Artifactory quoted": r"(?<=['`])AKC[a-zA-Z0-9]{10,128}(?=['`])",
    "Azure": r"SharedAccessKey=([A-Za-z0-9+/]{40,88}={0,2})",
    "Bearer": r"[Bb](?:earer|EARER) {1,4}([A-Za-z0-9._~+/-]{20,512}+={0,2})",
    "Basic": r"[Bb](?:asic|ASIC) {1,4}([A-Za-z0-9+/]{8,512}+={0,2})",
    "DigitalOcean": r"do[opr]_v1_[a-f0-9]{64}",
    "Docker Hub": r"dckr_pat_[A-Za-z0-9_-]{20,64}",
    # Base64 of "-----BEGIN … PRIVATE KEY-----": PKCS 8, RSA, EC, OpenSSH, encrypted.
    "Encoded private key": r"LS0tLS1CRUdJTi(?:BQUklWQVRF|BSU0EgUFJJVkFUR|BFQyBQUklWQVRF"
    r"|BPUEVOU1NIIFBSSVZBVE|BFTkNSWVBURUQgUFJJVkFUR)[A-Za-z0-9+/=]{20,8192}",
    "GitHub fine-grained": r"github_pat_[A-Za-z0-9_]{36,128}",
    "GitLab long": r"gl(?:pat|dt|ft|soat|rt)-[A-Za-z0-9_.-]{20,256}(?<!\.)",
    "Google": r"AIza[0-9A-Za-z_-]{35}|GOCSPX-[0-9A-Za-z_-]{28}|ya29\.[0-9A-Za-z_-]{30,256}",
    "Groq": r"gsk_[A-Za-z0-9]{40,64}",
    "Hugging Face": r"hf_[A-Za-z0-9]{34,64}",
    "npm": r"npm_[A-Za-z0-9]{36}",
    "Option": r"--(?:[a-z-]{0,32}-)?(?:pass|password|passwd|secret|token|api-key)(?:=| {1,4})"
    r"([^\s\"'`<>;&|$-][^\s\"'`<>;&|]{5,256})",
    "OpenAI": r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{24,256}",
    "Shopify": r"shp(?:at|ss|ca|pa)_[a-fA-F0-9]{32}",
    "Slack app": r"xapp-\d-[A-Z0-9]{5,20}-\d{5,20}-[a-z0-9]{20,128}|xoxe[.-][A-Za-z0-9-]{20,256}",
    "Stripe test": r"(?:[rs]k_test|whsec)_[0-9a-zA-Z]{24,64}",
    "Vault": r"hvs\.[A-Za-z0-9_-]{24,256}",
    "URL": r"://[^\s:/@'\"<>`{}]{0,128}+:([^\s/'\"<>`{}]{1,256})@[\w\[%-]",
}

_importing = Lock()


class _Requests(ModuleType):
    """What the library's definitions need of requests."""

    Response = object


@cache
def detect_secrets_module(name: str) -> ModuleType:
    """Import a module of detect-secrets, without requests, which it only verifies credentials with.

    Only one thread imports at a time. The package's modules import each other in a circle, so
    threads that enter it at different places would wait for one another.
    """
    from importlib import import_module

    without = {"requests": _Requests("requests")} if is_process_ours() else {}
    with _importing, standing_in(without):
        import detect_secrets

        return import_module(f".{name}", detect_secrets.__name__)


@cache
def detector(name: str) -> RegexBasedDetector:
    """The detector of that name, which each process makes once."""
    if name in _OWN_PATTERNS:
        base = detect_secrets_module("plugins.base").RegexBasedDetector
        parts = {"secret_type": name, "denylist": (re.compile(_OWN_PATTERNS[name]),)}
        made: RegexBasedDetector = type(name, (base,), parts)()
        return made
    module = detect_secrets_module(f"plugins.{_MODULES[name]}")
    found: RegexBasedDetector = getattr(module, name)()
    return found
