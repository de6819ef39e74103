"""From the bytes of a file to the text that may be indexed."""

from __future__ import annotations

from indexer.config import KEEP_SECRETS, SKIP_SECRETS


def read_source(path: str, data: bytes, secrets: str) -> tuple[str, str, int]:
    """The text of a file that may be indexed, and how many secrets were masked in it.

    Between them stands the reason why there is no text, "" if there is one. `secrets` is one
    of `config.SECRETS`.
    """
    # Imported here because many commands import this module and never read a file.
    from indexer.text.decode import read_text
    from indexer.text.masking import mask_secrets

    text, reason = read_text(path, data)
    if reason or secrets == KEEP_SECRETS:
        return text, reason, 0
    text, masked = mask_secrets(text, path)
    if masked and secrets == SKIP_SECRETS:
        return "", "secret", 0
    return text, "", masked
