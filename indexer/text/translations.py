"""Which files hold the texts of a program in one language or in several."""

from __future__ import annotations

import re
from posixpath import splitext

# Formats that are for nothing else.
_ENDINGS = frozenset(
    "po pot xlf xliff arb strings stringsdict xcstrings resx resw tmx xtb".split()
)
_FOLDERS = frozenset(
    "locale locales _locales i18n l10n nls translation translations".split()
)
# Folders that may as well be about programming languages.
_MAYBE_FOLDERS = frozenset("lang langs language languages messages".split())
_MAYBE_PROGRAMMING = frozenset("as cs cu el gd mk ml pl ps sh ts".split())
_TEXTS = frozenset("json json5 yml yaml properties ini toml xml ftl dtd".split())
# Sources with texts, or with the names of months. That in English is left to stand for all.
_SOURCES = frozenset("py js mjs cjs ts php rb".split())

# ISO 639-1, and languages without a code there for which programs are often translated.
_CODES = frozenset("""
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv
    cy da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr
    ht hu hy hz ia id ie ig ii ik in io is it iu iw ja ji jv ka kg ki kj kk kl km kn ko kr ks
    ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn
    no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn
    so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa
    wo xh yi yo za zh zu
    ast bal ckb dsb fil fur gsw hsb kab lij mai nap nds pap sco szl tzm vec yue
    """.split())
_REGION = r"(?:[_-](?:[a-z]{4}|latin|valencia))?(?:[_-](?:r?[a-z]{2}|\d{3}))?"
_LOCALE = re.compile(rf"([a-z]{{2,3}}){_REGION}")
_SUFFIX = re.compile(rf".*[._-]([a-z]{{2,3}}){_REGION}")
_BUNDLE = re.compile(
    r"(?!application|config|log)[a-z0-9.-]+_([a-z]{2,3})(?:_[a-z]{2})?"
)
_MANIFEST = re.compile(rf"(?:.*\.)?(?:nls|l10n)(?:\.[a-z]{{2,3}}{_REGION})?")
_ANDROID = re.compile(rf"values-([a-z]{{2,3}}){_REGION}")
_QT = re.compile(rb"<!DOCTYPE TS\b|<TS[ >]")

_HEAD = 400  # bytes


def is_translation(path: str, data: bytes) -> bool:
    """Whether the file holds texts for people who use a program. Translated documentation is no
    such file: it is read as a whole."""
    *folders, name = path.lower().split("/")
    stem, ending = splitext(name)
    ending = ending[1:]
    if ending in _ENDINGS:
        return True
    if ending == "ts" and _QT.search(data, 0, _HEAD):
        return True
    if ending == "json" and _MANIFEST.fullmatch(stem):
        return True
    if ending == "properties" and (found := _BUNDLE.fullmatch(stem)):
        return found[1] in _CODES
    if ending == "xml" and folders:
        return _is_android(folders[-1], stem) or _is_of_folder(folders, stem, ending)
    return _is_of_folder(folders, stem, ending)


def _is_android(folder: str, stem: str) -> bool:
    if folder == "values":
        return stem in ("strings", "plurals")
    found = _ANDROID.fullmatch(folder)
    return bool(found and found[1] in _CODES)


def _is_of_folder(folders: list[str], stem: str, ending: str) -> bool:
    """Whether the path goes through a folder of translations, and names a language after it."""
    is_source = ending in _SOURCES
    if ending not in _TEXTS and not is_source:
        return False
    for number, folder in enumerate(folders):
        is_certain = folder in _FOLDERS
        if is_certain or folder in _MAYBE_FOLDERS:
            code = _language(folders[number + 1 :], stem, is_exact=is_source)
            if not code or (is_source and code == "en"):
                continue
            if is_certain or code not in _MAYBE_PROGRAMMING:
                return True
    return False


def _language(folders: list[str], stem: str, *, is_exact: bool) -> str:
    """The code of the language that the file's name, or a folder, is named after; "" if none is.

    Unless it must be exact, the name may also end with it.
    """
    found = _LOCALE.fullmatch(stem)
    if not found and not is_exact:
        found = _SUFFIX.fullmatch(stem)
    names = [found[1]] if found else []
    names += [match[1] for folder in folders if (match := _LOCALE.fullmatch(folder))]
    return next((name for name in names if name in _CODES), "")
