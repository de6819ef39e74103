"""The headings under which a command's help and `init`'s template show the settings."""

from __future__ import annotations

# In the order of the help: what a newcomer asks first comes first.
SECTIONS = (
    FILES,
    ANSWER,
    DONE,
    PRINTED,
    INDEX,
    WHERE,
    WORKERS,
    TOLD,
    MENTIONED,
    PAGES,
) = (
    "What is indexed",
    "What is found",
    "What is done, and when",
    "What is printed",
    "How it is indexed",
    "Where index and cache are",
    "The workers",
    "What others are told",
    "Mentions",
    "The wiki",
)
