"""What is a definition in each language: the types of syntax nodes, and how each is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

NameOf = Callable[["Node", bytes], str | None]
"""Gives the name of the definition from its node and the source that the node is in, None where
the node turns out not to define anything. (The text comes from the source, because `Node.text`
crashes for a source that was read through a callback.)"""

# Nodes around something that may be a definition.
WRAPPERS = frozenset(
    """decorated_definition export_statement ambient_declaration expression_statement
    lexical_declaration variable_declaration template_declaration linkage_specification
    type_declaration local_declaration value_definition module_definition type_definition
    statement definition type_system_definition fun_decl implementation_definition
    declaration list_lit""".split()
)

# Nodes that are written directly before a definition and belong to it.
PREFIXES = frozenset(
    """comment line_comment block_comment multiline_comment haddock doc_comment decorator
    attribute_item inner_attribute_item attribute_list annotation unary_operator signature
    template_parameter_list access_specifier""".split()
)


_MAX_NAME_BYTES = 400


def _text(node: Node | None, source: bytes) -> str:
    if node is None:
        return ""
    end = min(node.end_byte, node.start_byte + _MAX_NAME_BYTES)
    return source[node.start_byte : end].decode("utf-8", "ignore")


_GENERIC_ARGUMENTS = re.compile(r"<[^<>()]*>")
_IDENTIFIER = re.compile(
    r"[^\w~@$#%.]*((?:[^\s(){}\[\],;=\"'`<>]*\b)?operator\s*[^\s\w(]+|[^\s(){}\[\],;=\"'`<>]+)"
)
_SCOPE_MARKS = re.compile(r"::|->|[:\\]")


def _identifier(text: str) -> str | None:
    """The dotted name at the start of `text`: `*A::B<T>::f(int a)` gives `A.B.f`."""
    match = _IDENTIFIER.match(_GENERIC_ARGUMENTS.sub("", text))
    name = _SCOPE_MARKS.sub(".", match[1]).replace(".prototype.", ".") if match else ""
    return name.removeprefix("module.").removeprefix("exports.").strip(".") or None


def _title(text: str) -> str | None:
    return " ".join(text.split()).strip("\"'`[]#{}= ")[:100].rstrip() or None


def _part(node: Node, key: str) -> Node | None:
    """The child in the field `key`, or else the first child of that type."""
    part = node.child_by_field_name(key)
    return part or next(
        (child for child in node.named_children if child.type == key), None
    )


def _named(*keys: str, clean: Callable[[str], str | None] = _identifier) -> NameOf:
    def name_of(node: Node, source: bytes) -> str | None:
        parts = (_part(node, key) for key in keys)
        return next((clean(_text(part, source)) for part in parts if part), None)

    return name_of


_by_name = _named(
    "name", "declarator", "type_identifier", "simple_identifier", "identifier"
)


def _with_body(node: Node, source: bytes) -> str | None:
    return _by_name(node, source) if node.child_by_field_name("body") else None


_FUNCTIONS = frozenset(
    """arrow_function function_expression generator_function function_definition
    lambda_expression class object""".split()
)


def _function_value(node: Node, source: bytes) -> str | None:
    """The name that a function is assigned to.

    `const f = () => …`, `exports.f = function …`, `M.f = function …`, `f <- function …`
    """
    named = node.named_children
    if len(named) < 2:
        return None
    value = named[-1]
    if value.type == "expression_list":
        value = next(iter(value.named_children), value)
    name = (
        node.child_by_field_name("name")
        or node.child_by_field_name("property")
        or named[0]
    )
    return _identifier(_text(name, source)) if value.type in _FUNCTIONS else None


def _nothing(node: Node, source: bytes) -> None:
    """No name: for a node that is a definition in other languages only."""


def _go_method(node: Node, source: bytes) -> str | None:
    receiver = _text(node.child_by_field_name("receiver"), source)
    kind = re.search(r"(\w+)\s*(?:\[.*)?\)", receiver)  # `(s *S)`, `(S[T])`
    name = _by_name(node, source)
    return f"{kind[1]}.{name}" if kind and name else name


_ELIXIR_DEFINITIONS = frozenset(
    """def defp defmacro defmacrop defguard defguardp defdelegate defmodule defprotocol
    defimpl""".split()
)


def _elixir_call(node: Node, source: bytes) -> str | None:
    if _text(_part(node, "target"), source) not in _ELIXIR_DEFINITIONS:
        return None
    return _identifier(_text(_part(node, "arguments"), source))


def _lisp_list(node: Node, source: bytes) -> str | None:
    head = node.named_children[:2]
    if len(head) < 2 or not re.match(r"def|ns$", _text(head[0], source)):
        return None
    return _identifier(_text(head[1], source))


def _inside(part: str, key: str) -> NameOf:
    def name_of(node: Node, source: bytes) -> str | None:
        inner = _part(node, part)
        return _named(key)(inner, source) if inner else None

    return name_of


def _markdown_section(node: Node, source: bytes) -> str | None:
    heading = next(iter(node.named_children), None)  # none where text is damaged
    title = heading and heading.child_by_field_name("heading_content")
    return _title(re.sub("[*`]", "", _text(title, source)))


def _hcl_block(node: Node, source: bytes) -> str | None:
    words = _text(node, source).partition("{")[0].replace('"', " ").split()
    return ".".join(words) or None


_DEFINITIONS: dict[str, NameOf] = {
    **dict.fromkeys(
        """class class_declaration class_definition class_interface class_implementation
        abstract_class_declaration interface_declaration interface enum_declaration
        enum_definition record_declaration record_decl annotation_type_declaration
        struct_declaration trait_declaration trait_definition object_declaration
        object_definition protocol_declaration contract_declaration library_declaration
        type_alias_declaration type_alias type_spec type_item type_binding alias_declaration
        struct_item enum_item union_item trait_item mod_item macro_definition const_item
        static_item function_item function_signature_item function_definition
        function_declaration function_signature function_statement function_clause
        generator_function_declaration procedure
        method method_definition method_declaration singleton_method
        protocol_function_declaration abstract_method_signature constructor_declaration
        destructor_declaration operator_declaration delegate_declaration
        property_declaration modifier_definition event_definition struct_definition
        namespace_definition namespace_declaration file_scoped_namespace_declaration
        internal_module module module_definition module_declaration package_declaration
        concept_definition preproc_function_def preproc_def mixin_statement
        define_directive proc_declaration func_declaration""".split(),
        _by_name,
    ),
    **dict.fromkeys(
        "class_specifier struct_specifier union_specifier enum_specifier".split(),
        _with_body,
    ),
    **dict.fromkeys(
        """variable_declarator assignment_expression field_definition
        public_field_definition assignment_statement init_declarator""".split(),
        _function_value,
    ),
    "impl_item": _named("type"),
    "type_definition": _named("declarator"),
    "init_declaration": lambda node, source: "init",
    "deinit_declaration": lambda node, source: "deinit",
    "secondary_constructor": lambda node, source: "constructor",
}

_KEY_TITLE = _named("key", clean=_title)
_TABLE_TITLE = _named("dotted_key", "bare_key", "quoted_key", clean=_title)

_GRAPHQL_TYPES = """object_type_definition interface_type_definition enum_type_definition
    input_object_type_definition union_type_definition scalar_type_definition
    operation_definition fragment_definition directive_definition"""

_SQL_OBJECTS = """create_table create_view create_materialized_view create_function
    create_procedure create_trigger create_index create_type create_schema"""

_STYLE_RULES: dict[str, NameOf] = {"rule_set": _named("selectors", clean=_title)}
_HASKELL_NAMED = "function bind data_type newtype class instance type_synomym".split()

# Nodes that are definitions in one language and something else, or nothing, in others.
_DEFINITIONS_IN: dict[str, dict[str, NameOf]] = {
    "clojure": {"list_lit": _lisp_list},
    "commonlisp": {
        "defun": _inside("defun_header", "function_name"),
        "list_lit": _lisp_list,
    },
    "css": _STYLE_RULES,
    "elixir": {"call": _elixir_call},
    "go": {"method_declaration": _go_method},
    "graphql": dict.fromkeys(_GRAPHQL_TYPES.split(), _by_name),
    "haskell": dict.fromkeys(_HASKELL_NAMED, _named("name")),
    "hcl": {"block": _hcl_block},
    "ini": {"section": _named("section_name", clean=_title)},
    "javascript": {"pair": _function_value},
    "json": {"pair": _KEY_TITLE},
    "julia": {
        "function_definition": _named("signature"),
        "macro_definition": _named("signature"),
        "struct_definition": _named("type_head"),
    },
    "latex": dict.fromkeys(
        "chapter section subsection subsubsection".split(), _named("text", clean=_title)
    ),
    "make": {"rule": _named("targets", clean=_title)},
    "markdown": {"section": _markdown_section},
    "ocaml": {
        "let_binding": _named("pattern"),
        "module_binding": _named("module_name"),
    },
    "powershell": {
        "function_statement": _named("function_name"),
        "class_statement": _named("simple_name"),
        "class_method_definition": _named("simple_name"),
    },
    "prisma": {"model_block": _by_name, "enum_block": _by_name},
    "proto": {
        kind: _named(f"{kind}_name") for kind in ("message", "service", "rpc", "enum")
    },
    "r": {"binary_operator": _function_value, "function_definition": _nothing},
    "scheme": {"list": _lisp_list},
    "scss": _STYLE_RULES,
    "sql": dict.fromkeys(_SQL_OBJECTS.split(), _named("column", "object_reference")),
    "toml": {
        "pair": _TABLE_TITLE,
        "table": _TABLE_TITLE,
        "table_array_element": _TABLE_TITLE,
    },
    "tsx": {"pair": _function_value},
    "typescript": {"pair": _function_value},
    "vim": {"function_definition": _named("function_declaration")},
    "yaml": {"block_mapping_pair": _KEY_TITLE},
    "zig": {
        "Decl": _inside("FnProto", "function"),
        "VarDecl": _named("variable_type_function"),
    },
}


@cache
def definitions_of(language: str) -> Mapping[str, NameOf]:
    """What gives the name of each type of syntax node that is a definition in a language."""
    return _DEFINITIONS | _DEFINITIONS_IN.get(language, {})
