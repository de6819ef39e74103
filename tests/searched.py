"""The texts that searches are tried on."""

from __future__ import annotations

TEXTS = {
    "billing/tax.py": (
        "def vat(net, rate):\n"
        '    """The value added tax on a net price."""\n'
        "    return net * rate / 100\n"
    ),
    "net/retry.py": (
        "import time\n\n\ndef fetch_with_retry(fetch, attempts=3):\n"
        '    """Repeat a failed HTTP request with exponential backoff."""\n'
        "    for attempt in range(attempts):\n"
        "        try:\n            return fetch()\n"
        "        except ConnectionError:\n            time.sleep(2**attempt)\n"
    ),
    "auth/passwords.go": (
        "package auth\n\n// CheckPassword compares a password with its bcrypt hash.\n"
        "func CheckPassword(hash, password string) bool {\n"
        "\treturn bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil\n"
        "}\n"
    ),
    "docs/release.md": (
        "# Making a release\n\nTag the commit, build the wheel and upload it to PyPI.\n"
    ),
}
