"""A text that a grammar does not survive."""

from __future__ import annotations

import base64
import zlib

# Found by tests/text/fuzzing.py: 5 KB that the grammar of F# does not survive.
# One that does is as good, because the file is indexed either way.
FATAL = zlib.decompress(
    base64.b85decode(
        "c-rmOs|tWH6oBC;F}dP1i9x(1+u{)REOy0gFr4#ZR#A&G@b;H447Tud;7q&>+6e|XCBa(hWz"
        "zZ26^bUeHvGepjv3>1zsAr25x16AO@x>KUZ{YGA2V)gfERb-?kpk8gFJb|IjSKd;;{?hnbU#"
    )
)
