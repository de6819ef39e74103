"""What is in another language is parsed as what it is, at its own lines."""

from __future__ import annotations

import pytest
from test_chunking import WordTokenizer, bert, check_chunks

from indexer.text.chunks import chunk_text
from indexer.text.outline import definitions
from indexer.text.regions import regions_in

VUE = """\
<template>
  <div v-if="a > b"><Foo @click="go" /></div>
</template>

<!-- <script> not this
</script> -->
<script setup lang="ts" generic="T extends Record<string, number>">
import x from "y"
// about load
export async function load(a: string): Promise<void> {
  FILL
}
class Store<T> {
  FILL
  open(): T {
    FILL
  }
}
</script>

<style scoped lang="scss">
.button {
  color: red;
  &:hover { color: blue; }
}
</style>
"""
ASTRO = """\
---
const { title } = Astro.props;
function shorten(text: string) {
  return text.slice(9);
}
---
<html><body>{title}</body></html>
<script>
function later() {
  return 1
}
</script>
"""


@pytest.mark.parametrize("language", ["vue", "svelte"])
def test_the_definitions_of_a_component(language: str) -> None:
    text = VUE.replace("FILL", "await fetch(a)")
    assert definitions(text, language) == [
        ("load", 10, 12),
        ("Store", 13, 18),
        ("Store.open", 15, 17),
        (".button", 22, 25),
        (".button.&:hover", 24, 24),
    ]


def test_the_frontmatter_of_astro() -> None:
    assert definitions(ASTRO, "astro") == [("shorten", 3, 5), ("later", 9, 11)]


def test_a_component_is_cut_along_its_script() -> None:
    text = VUE.replace("FILL", "// " + "word " * 40)
    chunks = chunk_text(text, "vue", WordTokenizer(), 64)
    check_chunks(text, chunks, WordTokenizer(), 64)
    symbols = [chunk.symbol for chunk in chunks]
    assert {"load", "Store", "Store.open"} <= set(symbols)
    (load,) = [chunk for chunk in chunks if chunk.symbol == "load"]
    assert load.text.startswith("// about load\nexport async function")
    assert load.start_line == 9


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("script", "javascript"),
        ("SCRIPT TYPE=text/javascript", "javascript"),
        ('script type="module"', "javascript"),
        ("script lang='ts'", "typescript"),
        ('script context="module" lang="ts"', "typescript"),
        ('script lang="tsx"', "tsx"),
        ('script type="application/ld+json"', "json"),
        ('script type="text/x-template" id="t"', "html"),
        ('script type="text/x-unheard-of"', None),
        ('script lang="coffee"', None),
        ("style", "css"),
        ('style lang="less" scoped', "scss"),
        ('style lang="stylus"', None),
        ("i18n", "json"),
        ('i18n lang="yaml"', "yaml"),
        ("scripted", None),
    ],
)
def test_the_language_of_a_region(tag: str, language: str | None) -> None:
    name = tag.split()[0]
    text = f"<div>\n</div><{tag}>\na\n</{name}>\n<p>"
    found = [(one.language, one.text, one.top) for one in regions_in(text, "html")]
    assert found == ([(language, "\na\n", 1)] if language else [])
    assert not list(regions_in(text, "markdown"))


def test_what_is_not_closed_or_of_one_line_is_no_region() -> None:
    assert not list(regions_in("<script>let a = 1</script><style>\n.a {}\n", "html"))
    two = "<style>\n<script>\nlet a = 1\n</script>"
    assert [one.language for one in regions_in(two, "vue")] == ["javascript"]
    assert not list(regions_in("---\nlet a = 1\n", "astro"))
    assert [one.text for one in regions_in("---\n---\n<a>", "astro")] == []


SIZE = 1 << 20
HOSTILE = ["<script>", "<!--", '<script "', "<script a='", "<script a=b ", "</script>"]
HOSTILE += [
    "<script>\n</script>\n",
    "<style>\nx",
    "<script\n",
    "---\n",
    '<i18n a="\'" ',
]


@pytest.mark.parametrize("part", HOSTILE)
def test_a_mebibyte_of_anything_takes_one_pass(part: str) -> None:
    text = part * (SIZE // len(part))
    assert len(list(regions_in(text, "astro"))) <= 501
    small = part * 200
    check_chunks(small, chunk_text(small, "vue", bert(), 64), bert(), 64)
