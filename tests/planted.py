"""Made-up credentials in the surroundings in which real ones are found.

They are put together at run time, from a seed: no line of this file looks like one, so no
scanner of a hosting site has a reason to refuse it.
"""

from __future__ import annotations

import base64
import json
import random
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass

from indexer.text import secret_kinds, secret_names, spans
from indexer.text.secret_values import is_credential

_LETTERS = string.ascii_letters
_ALNUM = string.ascii_letters + string.digits
_TOKEN = _ALNUM + "-_"
_BASE64 = _ALNUM + "+/"
_HEX = "0123456789abcdef"
_LOWER = string.ascii_lowercase + string.digits
_UPPER = string.ascii_uppercase + string.digits


@dataclass(frozen=True, slots=True)
class Planted:
    """A file with credentials in it; `secrets` are what must not be left of it."""

    kind: str
    path: str
    text: str
    secrets: tuple[str, ...]


class Maker:
    """Draws credentials of known shapes."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def of(self, letters: str, length: int) -> str:
        return "".join(self.rng.choices(letters, k=length))

    def sure(self, letters: str, length: int) -> str:
        """With a digit and both cases, as nearly all that are drawn have."""
        return "a1B" + self.of(letters, length - 3)

    def jwt(self) -> str:
        head = {"alg": "HS256", "typ": "JWT"}
        body = {"sub": self.of(string.digits, 10), "name": self.of(_LETTERS, 8)}
        parts = [_url64(json.dumps(part).encode()) for part in (head, body)]
        return ".".join([*parts, self.of(_TOKEN, 42) + "x"])

    def tokens(self) -> dict[str, str]:
        """One token each, by kind."""
        digits = string.digits
        return {
            "AWS key id": "AK" + "IA" + self.of(_UPPER, 16),
            "AWS session key id": "AS" + "IA" + self.of(_UPPER, 16),
            "GitHub": "gh" + "p_" + self.of(_ALNUM, 36),
            "GitHub app": "gh" + "s_" + self.of(_ALNUM, 36),
            "GitHub fine-grained": "github_" + "pat_" + self.of(_ALNUM + "_", 82),
            "GitLab": "gl" + "pat-" + self.of(_TOKEN, 19) + "x",
            "GitLab runner": "gl" + "rt-" + self.of(_TOKEN, 19) + "x",
            "GitLab deploy": "gl" + "dt-" + self.of(_TOKEN, 19) + "x",
            "Slack bot": f"xo{'xb'}-{self.of(digits, 12)}-{self.of(digits, 13)}-"
            + self.of(_ALNUM, 24),
            "Slack app": f"xa{'pp'}-1-A{self.of(_UPPER, 10)}-{self.of(digits, 13)}-"
            + self.of(_HEX, 64),
            "Slack webhook": "https://hooks.slack."
            + f"com/services/T{self.of(_UPPER, 10)}"
            f"/B{self.of(_UPPER, 10)}/{self.of(_ALNUM, 24)}",
            "Stripe": "sk_" + "live_" + self.of(_ALNUM, 24),
            "Stripe, long": "rk_" + "live_" + self.of(_ALNUM, 99),
            "Stripe test": "sk_" + "test_" + self.of(_ALNUM, 24),
            "JSON Web Token": self.jwt(),
            "npm": "np" + "m_" + self.of(_ALNUM, 36),
            "PyPI": "pypi-" + "AgEIcHlwaS5vcmc" + self.of(_TOKEN, 120),
            "SendGrid": f"S{'G'}.{self.of(_TOKEN, 22)}.{self.of(_TOKEN, 43)}",
            "Twilio": "S" + "K" + self.of(_HEX, 32),
            "Telegram": self.of("123456789", 9) + ":" + "AA" + self.of(_TOKEN, 33),
            "Discord": f"M{self.of(_ALNUM, 23)}.{self.of(_TOKEN, 6)}.{self.of(_TOKEN, 27)}",
            "OpenAI": f"s{'k'}-{self.of(_ALNUM, 20)}T3Blbk"
            + "FJ"
            + self.of(_ALNUM, 20),
            "OpenAI project": f"s{'k'}-proj-{self.of(_TOKEN, 74)}T3Blbk"
            + "FJ"
            + self.of(_TOKEN, 74),
            "Anthropic": "sk-" + "ant-api03-" + self.of(_TOKEN, 93) + "AA",
            "Google API": "AI" + "za" + self.of(_TOKEN, 35),
            "Google OAuth": "GOC" + "SPX-" + self.of(_TOKEN, 28),
            "Hugging Face": "h" + "f_" + self.of(_LETTERS, 34),
            "Square": "sq0" + "csp-" + self.of(_TOKEN, 43),
            "Mailchimp": self.of(_HEX, 32) + "-us" + "12",
            "DigitalOcean": "dop" + "_v1_" + self.of(_HEX, 64),
            "Docker Hub": "dckr_" + "pat_" + self.of(_TOKEN, 27),
            "Shopify": "shp" + "at_" + self.of(_HEX, 32),
            "Vault": "hv" + "s." + self.of(_ALNUM, 90),
            "Groq": "gs" + "k_" + self.of(_ALNUM, 52),
            "Artifactory": "AK" + "C" + self.sure(_ALNUM, 64),
        }

    def key_lines(self, count: int = 6) -> list[str]:
        """The body of a private key: lines of base64, the last one short."""
        lines = ["MII" + self.of(_BASE64, 61)]
        lines += [self.of(_BASE64, 64) for _ in range(count - 2)]
        return [*lines, self.of(_BASE64, 20) + "7w=="]


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def begin(kind: str) -> str:
    return f"-----BEGIN {kind}-----"


def end(kind: str) -> str:
    return f"-----END {kind}-----"


# Where a token of a known shape is found; `@` is the token.
TOKEN_PLACES = {
    "app/client.py": 'import os\n\nclient = Client(token="@", timeout=3)\n',
    "web/api.js": "const client = new Client({ auth: '@' });\n",
    "deploy/values.yaml": "service:\n  credential: @\n  port: 80\n",
    "config.json": '{"name": "x", "value": "@", "port": 80}\n',
    "setup.ini": "[service]\nvalue = @\n",
    "run.sh": '#!/bin/sh\nexport VALUE="@"\n',
    "Dockerfile": "FROM python:3.11\nENV VALUE=@\nRUN make\n",
    "README.md": "# Usage\n\n    tool --login @ run\n\nIt is `@`, see below.\n",
    "notes.txt": "the one of the test server is @\n",
    "call.ts": "// TODO remove: @\nexport const a = 1;\n",
    "dist/app.js": "var a=1;function f(){return g('@')}" * 3 + "\n",
}


def planted(seed: int = 7) -> list[Planted]:
    """About 500 files with credentials of about 60 kinds, the same for the same seed."""
    make = Maker(seed)
    found = []
    for kind in make.tokens():
        for path, text in TOKEN_PLACES.items():
            token = make.tokens()[kind]
            found.append(Planted(kind, path, text.replace("@", token), (token,)))
    found += [Planted(*case) for case in _named(make)]
    found += [Planted("password", *case) for case in _passwords(make)]
    found += _keys(make)
    return found


def _named(make: Maker) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """Credentials that only their surroundings tell."""
    secret = make.sure(_BASE64, 40)
    yield "AWS secret", "a.py", f'aws_secret_access_key = "{secret}"\n', (secret,)
    yield "AWS secret", "a.ini", f"[default]\naws_secret_access_key = {secret}\n", (
        secret,
    )
    yield "AWS secret", "a.sh", f"export AWS_SECRET_ACCESS_KEY={secret}\n", (secret,)
    yield "AWS secret", "a.js", f'new AWS.S3({{secretAccessKey: "{secret}"}})\n', (
        secret,
    )
    key = make.sure(_BASE64, 86) + "=="
    line = f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={key};Suffix=x"
    yield "Azure storage", "a.cs", f'var c = "{line}";\n', (key,)
    yield "Azure storage", "a.json", f'{{"connection": "{line}"}}\n', (key,)
    key = make.sure(_BASE64, 43) + "="
    line = (
        f"Endpoint=sb://a.servicebus.net/;SharedAccessKeyName=R;SharedAccessKey={key}"
    )
    yield "Azure bus", "a.yml", f"bus: {line}\n", (key,)
    for scheme, port in (("postgres", 5432), ("mysql", 3306), ("amqp", 5672)):
        word = make.sure(_ALNUM, 12)
        url = f"{scheme}://app:{word}@db.example.org:{port}/app"
        yield "URL", "settings.py", f'URL = "{url}"\n', (word,)
        yield "URL", "compose.yaml", f"  url: {url}\n", (word,)
        yield "URL", "README.md", f"Connect to {url}.\n", (word,)
    word = "p!" + make.sure(_ALNUM, 8) + "$%"
    yield "URL", "a.env.example", f"REDIS_URL=redis://:{word}@cache:6379/0\n", (word,)
    yield "URL", "a.sh", f"git clone https://me:{word}@git.example.org/a.git\n", (word,)
    token = make.sure(_ALNUM, 40)
    legacy = "-".join(make.of(_HEX, length) for length in (8, 4, 4, 4, 12))
    yield "npm rc", "a.txt", f"//npm.example.org/:_authToken={legacy}\n", (legacy,)
    yield "Bearer", "a.sh", f'curl -H "Authorization: Bearer {token}" x\n', (token,)
    yield "Bearer", "a.http", f"GET /\nAuthorization: bearer {token}\n", (token,)
    basic = base64.b64encode(b"admin:Tr0ub4dor-and-3").decode()
    yield "Basic", "a.js", f"headers: {{Authorization: 'Basic {basic}'}}\n", (basic,)
    yield "Basic", "a.md", f"    Authorization: Basic {basic}\n", (basic,)
    hexes = make.of(_HEX, 40)
    yield "named token", "a.py", f'ACCESS_TOKEN = "{hexes}"\n', (hexes,)
    yield "named token", "a.yaml", f"access_token: {hexes}\n", (hexes,)
    yield "named token", "a.json", f'{{"refresh_token": "{token}"}}\n', (token,)
    yield "named token", "a.rb", f"  config.token = '{token}'\n", (token,)
    hexes = make.of(_HEX, 48)
    yield "IBM COS", "a.py", f'cos_hmac_secret_access_key = "{hexes}"\n', (hexes,)
    key = make.sure(_TOKEN, 43) + "x"
    yield "IBM Cloud", "a.py", f'ibm_cloud_api_key = "{key}"\n', (key,)
    yield "IBM Cloud", "a.yaml", f"ibm-cloud-key: {key}\n", (key,)
    hexes = make.of(_HEX, 64)
    yield "Cloudant", "a.py", f'cloudant_password = "{hexes}"\n', (hexes,)
    yield "SoftLayer", "a.py", f'softlayer_api_key = "{hexes}"\n', (hexes,)


def _passwords(make: Maker) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Those of people: short, with a digit or a sign."""
    places = {
        "a.py": 'DB_PASSWORD = "@"\n',
        "b.py": 'connect(host, user="app", password="@")\n',
        "c.py": "CONFIG = {'password': '@', 'port': 1}\n",
        "d.py": 'SECRET_KEY = b"@"\n',
        "e.py": 'password: str = "@"\n',
        "f.py": '"""Call it with PASSWORD=@ in the environment."""\n',
        "g.py": 'DSN = "host=db;user=app;password=@;port=1"\n',
        "h.py": 'secret = os.environ.get("APP_SECRET", "@")\n',
        "i.py": 'body = \'{\\"password\\": \\"@\\"}\'\n',
        "a.js": "const apiKey = '@';\n",
        "b.js": "module.exports = { clientSecret: `@` };\n",
        "a.ts": 'private readonly password: string = "@";\n',
        "a.go": 'password := "@"\n',
        "a.rs": 'let password: &str = "@";\n',
        "a.java": 'private static final String PASSWORD = "@";\n',
        "a.kt": 'val dbPassword: String = "@"\n',
        "a.cs": 'private string secret = "@";\n',
        "a.c": 'char password[25] = "@";\n',
        "a.rb": ":password => '@',\n",
        "a.php": "define('DB_PASSWORD', '@');\n",
        "a.sql": "CREATE USER app IDENTIFIED BY '@';\n",
        "b.sql": "ALTER ROLE app WITH PASSWORD '@';\n",
        "a.yaml": "database:\n  password: @\n  user: app\n",
        "b.yaml": "  password: '@'  # of the test server\n",
        "c.yml": "environment:\n  - MYSQL_ROOT_PASSWORD=@\n",
        "a.json": '{\n  "password": "@",\n  "user": "app"\n}\n',
        "a.toml": 'api_key = "@"\n',
        "a.ini": "[db]\npassword = @\n",
        "a.cfg": "[db]\npasswd: @\n",
        "a.properties": "spring.datasource.password=@\n",
        "a.conf": "requirepass x\nclient_secret = @ ; old\n",
        "a.env.example": "API_KEY=@\n",
        "Dockerfile": "ENV POSTGRES_PASSWORD=@\n",
        "b/Dockerfile": "RUN tool --password=@ --fast\n",
        "a.sh": "export DB_PASS_1=x SECRET=@; run\n",
        "b.sh": "docker run -e MYSQL_PASSWORD=@ mysql\n",
        "c.sh": "mysql --user app --password @ app\n",
        "a.tf": 'variable "db" {\n  password = "@"\n}\n',
        "a.xml": "<server><password>@</password></server>\n",
        "b.xml": '<add key="password" value="x" password="@"/>\n',
        "README.md": "Log in:\n\n    PASSWORD=@ make run\n",
        "b.md": "```yaml\npassword: @\n```\n",
        "a.txt": "password: @\n",
        "a.vue": "data() { return { password: '@' } }\n",
        "min.js": "var a=1,b={user:'u',password:'@',x:2};" + "f(1);" * 3000 + "\n",
        "query.md": "https://api.example.org/v1?user=1&api_key=@&page=2\n",
    }
    for number, (path, text) in enumerate(places.items()):
        word = ("hunter2", "S3cr3t-Pa55", "Tr0ub4dor_3", make.sure(_ALNUM, 16))[
            number % 4
        ]
        yield path, text.replace("@", word), (word,)


def _keys(make: Maker) -> Iterator[Planted]:
    kinds = (
        "RSA PRIVATE KEY",
        "PRIVATE KEY",
        "EC PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "PGP PRIVATE KEY BLOCK",
    )
    for kind in kinds:
        for path, text, body in _key_places(make, kind):
            yield Planted(kind.lower(), path, text, tuple(body))
    body = make.key_lines()
    putty = [
        "PuTTY-User-Key-File-2: ssh-rsa",
        "Encryption: none",
        "Private-Lines: 6",
        *body,
        "Private-MAC: 00",
    ]
    yield Planted("PuTTY key", "a.txt", "\n".join(putty) + "\n", tuple(body))
    whole = "\n".join(
        [begin("RSA PRIVATE KEY"), *make.key_lines(), end("RSA PRIVATE KEY")]
    )
    encoded = base64.b64encode(whole.encode()).decode()
    yield Planted("encoded key", "k.yaml", f"  tls.key: {encoded}\n", (encoded[60:],))


def _key_places(make: Maker, kind: str) -> Iterator[tuple[str, str, list[str]]]:
    body = make.key_lines()
    lines = [begin(kind), *body, end(kind)]
    yield "a.txt", "\n".join(lines) + "\n", body
    yield "crlf.txt", "\r\n".join(lines) + "\r\n", body
    yield "a.py", 'KEY = """' + "\n".join(lines) + '\n"""\n', body
    yield "a.yaml", "tls:\n  key: |\n" + "".join(
        f"    {line}\n" for line in lines
    ), body
    yield "a.json", '{"key": "' + "\\n".join(lines) + '\\n", "a": 1}\n', body
    joined = " +\n".join(f'  "{line}\\n"' for line in lines)
    yield "a.js", f"const key =\n{joined};\n", body
    listed = ",\n".join(f'  "{line}"' for line in lines)
    yield "b.js", f"const key = [\n{listed}\n].join('\\n');\n", body
    yield "a.md", "".join(f"> {line}\n" for line in lines), body
    yield "a.sh", "".join(f"# {line}\n" for line in lines), body
    yield "a.c", "".join(f'"{line}\\n"\n' for line in lines), body
    yield "cut.txt", "\n".join(lines[:-1]) + "\n", body
    yield "cut.py", 'KEY = "' + "\\n".join(lines[:4]) + '"\n\n\ndef f(): pass\n', body[
        :3
    ]
    fields = [
        begin(kind),
        "Proc-Type: 4,ENCRYPTED",
        "DEK-Info: AES-128-CBC,00",
        "",
        *body,
    ]
    yield "fields.txt", "\n".join([*fields, end(kind)]) + "\n", body


def found_without_gates(text: str, path: str) -> Iterator[str]:
    """What the detectors find on all lines, as the library would run them."""
    is_program = path.rpartition(".")[2] in secret_names._QUOTED_ONLY
    for line in text.splitlines():
        for kind in secret_kinds.KINDS:
            whole = spans.SearchedText(line)
            for start, end in secret_kinds.detected(kind, whole, 0, len(line)):
                yield line[start:end]
        for pattern, quote, group in secret_names.keyword_patterns():
            for match in pattern.finditer(line):
                name = re.match(r"\w*", line[match.start() :])
                other = name and secret_names._OTHER_SUFFIX.search(name[0].lower())
                if match[quote] and not other and not is_program:
                    if is_credential(match[group], is_quoted=True):
                        yield match[group]


# What looks like a credential and is none, by path.
BENIGN = {
    "git.md": "Fixed in 9fceb02d0ae598e95dc970b74767f19372d61af8.\n",
    "uuid.json": '{"id": "123e4567-e89b-12d3-a456-426614174000", "secret_id": null}\n',
    "sums.txt": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a.gz\n",
    "pins.txt": "a==1 --hash=sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n",
    "a.css": ".a { background: url(data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==) }\n",
    "sri.html": '<script integrity="sha384-oqVuAfXRKap7fdgcCY5uykM6+R9GqQ8K/uxy9rx7HNQlGYl1kPzQho1wx4JwY8wC">'
    "</script>\n",
    "key.pub": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me\n",
    "cert.txt": "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUc29tZXRoaW5n\n-----END CERTIFICATE-----\n",
    "read.py": "password = getpass()\npassword = os.environ['PASSWORD']\napi_key = config.get('api_key')\n",
    "read2.py": "self.secret = secret\ntoken = self.next_token()\npassword=password, key=key\n",
    "read3.py": 'password = input("Password: ")\nsecret = read_secret("prod/db/password-2")\n',
    "format.py": 'url = f"postgres://{user}:{password}@{host}/db"\nb = "https://%s:%s@%s/" % c\n',
    "url.sh": "curl https://$USER:$PASS@example.org https://${U}:${P}@example.org\n",
    "url.md": "`https://user:password@host/` and `scheme://<user>:<password>@host`\n",
    "tests.py": 'password = "password"\nsecret = "secret"\npasswd = "changeme"\napi_key = "xxxxxxxx"\n',
    "holders.yaml": "password: <password>\nsecret: ${SECRET}\napi_key: '{{ api_key }}'\ntoken: your-token\n",
    "holders.env.example": "API_KEY=\nDB_PASSWORD=changeme\nSECRET_KEY=your-secret-key-here\nPASSWORD=********\n",
    "names.js": "const passwordField = 'user-password-1';\nconst secretName = 'app-secret-v2';\nsetPassword(newPassword2);\n",
    "labels.json": '{"password": "Password", "forgot_password": "Forgot your password?", "pwd": "Mot de passe 2"}\n',
    "i18n.json": '{"password": "\u5bc6\u7801", "secret": "Geheimnis"}\n',
    "schema.json": '{"password": {"type": "string", "minLength": 8}, "token": "string"}\n',
    "k8s.yaml": "secretName: web-tls-2\nsecretKeyRef:\n  name: db-2\n  key: password\n",
    "paths.ini": "password_file = /run/secrets/db1\nprivate_key = ./keys/id_1.pem\npwd = /home/u1\n",
    "types.ts": "interface A { password: string; secret?: Uint8Array; apiKey: string | null }\n",
    "hash.py": 'PASSWORD_HASHERS = ["PBKDF2SHA256"]\npassword_length = 12\nSECRET_VERSION = "v1.2.3"\n',
    "lexer.py": 'token = "IDENTIFIER_2"\nif token == "STRING_LITERAL_WITH_A_LONG_NAME_1": pass\n',
    "marks.py": 'BEGIN = "-----BEGIN RSA PRIVATE KEY-----"\nEND = "-----END RSA PRIVATE KEY-----"\n'
    "def is_private_key_of_some_kind(text): return BEGIN in text\n",
    "classes.py": '__all__ = ["TokenizerModel", "LayoutLMv3TokenizerFastModel"]\n'
    'token_class = "HiggsAudioV2TokenizerModel"\ntokens = "Qwen2_5OmniToken2WavDiTModel"\n'
    'MovedAttribute("HTTPPasswordMgr", "urllib2", "urllib.request")\n',
    "dna.txt": "CATAAACCATCTCTACCGGTTCGCTTTCACTGGATATCGCGCTTGGG\n",
    "auth.md": "Use Basic authentication, or Bearer tokens as in RFC6750.\n",
    "words.md": "The secret: never tell. The password = what you know.\n",
}
