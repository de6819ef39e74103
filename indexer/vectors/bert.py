"""Builds the OpenVINO graph of a BERT from its weights, with OpenVINO's own operations.

It does so for a model that takes the mean of the last layer's vectors and scales it to unit
length, as `BertModel`, `Pooling` and `Normalize` do (arXiv:1810.04805, arXiv:1908.10084). The
operations are those that OpenVINO's converter makes of the original, so the vectors are the
same bit for bit. Only the mask is simpler: here all tokens of a text share a row of it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from indexer.vectors.backend import ModelInfo
from indexer.vectors.batches import pad
from indexer.vectors.graph_file import save
from indexer.vectors.library import import_openvino, third_party
from indexer.vectors.model_files import read_json
from indexer.vectors.tokenizer import load_raw_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LEAST_COUNT = 1e-9  # of tokens, as in Pooling
_LEAST_LENGTH = 1e-12  # of a vector, as in Normalize
Tensor = Any  # an output of OpenVINO, which has no types


def write_graph(model: ModelInfo, folder: str, precision: str) -> int:
    """Write the graph of such a model into `folder`. Returns the token id to pad with.

    Raises `ModelError` where it cannot be built, and `StateError` where it cannot be written.
    """
    with third_party(f"the graph of {model.folder} cannot be built"):
        graph = build_graph(model.folder)
    tokenizer = load_raw_tokenizer(model.folder)
    tokenizer.enable_truncation(model.max_tokens)
    pad_id = int(_read_config(model.folder)["pad_token_id"])

    def features(text: str) -> dict[str, Any]:
        import numpy as np

        tokens = np.array(tokenizer.encode(text).ids, np.uint32)
        return {**pad([tokens], len(tokens), pad_id)}

    save(graph, folder, precision, features)
    return pad_id


def build_graph(folder: str) -> Any:
    """The graph of the model in `folder`, from token ids to vectors of unit length.

    Its inputs are `input_ids`, `attention_mask` and `token_type_ids`, each int64 of shape
    (texts, tokens); its output is float32 of shape (texts, dimension). Nothing is checked:
    the files must be those of such a model.
    """
    import numpy as np
    from safetensors.numpy import load_file

    openvino = import_openvino()
    config = _read_config(folder)
    weights = load_file(os.path.join(folder, "model.safetensors"))
    size = config["hidden_size"] // config["num_attention_heads"]
    # One for all layers: with one for each, OpenVINO fuses otherwise, and bf16 rounds otherwise.
    scale = openvino.opset13.constant(np.float32(size**-0.5))
    model = _Bert(openvino.opset13, weights, config, scale)
    names = ("input_ids", "token_type_ids", "attention_mask")
    inputs = [model.ops.parameter([-1, -1], np.int64, name=name) for name in names]
    for name, parameter in zip(names, inputs, strict=True):
        parameter.output(0).set_names({name})
    ids, types, mask = inputs
    hidden = model.embed(ids, types)
    # A token attends to all tokens of its text, and to no padding.
    attended = model.unsqueeze(model.ops.convert(mask, "boolean"), 1, 2)
    for layer in range(config["num_hidden_layers"]):
        hidden = model.transform(f"encoder.layer.{layer}", hidden, attended)
    return openvino.Model([model.pool(hidden, mask)], inputs)


def _read_config(folder: str) -> dict[str, Any]:
    config: dict[str, Any] = read_json(os.path.join(folder, "config.json"))
    return config


class _Bert(Struct, frozen=True):
    """Parts of the graph. They are named as the weights are, which `quantization` relies on."""

    ops: Any  # OpenVINO's operations
    weights: dict[str, NDArray[np.float32]]
    config: dict[str, Any]
    scale: Tensor  # of the products of queries and keys

    def embed(self, ids: Tensor, types: Tensor) -> Tensor:
        """What the first layer gets: shape (texts, tokens, width)."""
        import numpy as np

        ops = self.ops
        # The shape's second number: a slice takes it as an array.
        length = ops.gather(ops.shape_of(ids), self._integers(1), self._integer(0))
        most = self.config["max_position_embeddings"]
        every = ops.constant(np.arange(most, dtype=np.int64)[None])
        first, step = self._integers(0), self._integers(1)
        positions = ops.slice(every, first, length, step, self._integers(1))
        words = ops.add(self._rows("word", ids), self._rows("token_type", types))
        found = ops.add(words, self._rows("position", positions))
        return self._normalize("embeddings.LayerNorm", found)

    def transform(self, name: str, hidden: Tensor, attended: Tensor) -> Tensor:
        """What a layer makes of `hidden`; both have the shape (texts, tokens, width)."""
        ops = self.ops
        found = self._attend(f"{name}.attention.self", hidden, attended)
        found = self._multiply(f"{name}.attention.output.dense", found)
        hidden = self._normalize(
            f"{name}.attention.output.LayerNorm", ops.add(found, hidden)
        )
        found = ops.gelu(self._multiply(f"{name}.intermediate.dense", hidden), "erf")
        found = self._multiply(f"{name}.output.dense", found)
        return self._normalize(f"{name}.output.LayerNorm", ops.add(found, hidden))

    def pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """The mean over the tokens of each text, of unit length: shape (texts, width)."""
        ops = self.ops
        counted = ops.convert(self.unsqueeze(mask, -1), "f32")
        total = ops.reduce_sum(ops.multiply(hidden, counted), self._integers(1))
        count = ops.reduce_sum(counted, self._integers(1))
        mean = ops.divide(total, self._at_least(count, _LEAST_COUNT))
        length = ops.reduce_l2(mean, self._integers(-1), keep_dims=True)
        return ops.divide(mean, self._at_least(length, _LEAST_LENGTH))

    def unsqueeze(self, tensor: Tensor, *axes: int) -> Tensor:
        """The same with axes of length 1 more."""
        return self.ops.unsqueeze(tensor, self._integers(*axes))

    def _attend(self, name: str, hidden: Tensor, attended: Tensor) -> Tensor:
        ops = self.ops
        heads = self.config["num_attention_heads"]
        size = self.config["hidden_size"] // heads

        def by_head(part: str) -> Tensor:
            every = self._multiply(f"{name}.{part}", hidden)
            # 0: as long as it is
            split = ops.reshape(every, self._integers(0, 0, heads, size), True)
            return ops.transpose(split, self._integers(0, 2, 1, 3))

        query, key, value = by_head("query"), by_head("key"), by_head("value")
        found = ops.scaled_dot_product_attention(
            query, key, value, attended, self.scale
        )
        joined = ops.transpose(found, self._integers(0, 2, 1, 3))
        return ops.reshape(joined, self._integers(0, 0, heads * size), True)

    def _rows(self, name: str, numbers: Tensor) -> Tensor:
        table = self._constant(f"embeddings.{name}_embeddings.weight")
        return self.ops.gather(
            table, self.ops.convert(numbers, "i32"), self._integer(0)
        )

    def _multiply(self, name: str, tensor: Tensor) -> Tensor:
        product = self.ops.matmul(
            tensor,
            self._constant(f"{name}.weight"),
            transpose_a=False,
            transpose_b=True,
            name=f"{name}/MatMul",
        )
        return self.ops.add(product, self._vector(f"{name}.bias"))

    def _normalize(self, name: str, tensor: Tensor) -> Tensor:
        least = self.config["layer_norm_eps"]
        found = self.ops.mvn(tensor, self._integers(-1), True, least, "INSIDE_SQRT")
        found = self.ops.multiply(found, self._vector(f"{name}.weight"))
        return self.ops.add(found, self._vector(f"{name}.bias"))

    def _at_least(self, tensor: Tensor, least: float) -> Tensor:
        import numpy as np

        return self.ops.maximum(
            tensor, self.ops.constant(np.full((1, 1), least, np.float32))
        )

    def _constant(self, name: str) -> Tensor:
        return self.ops.constant(self.weights[name], name=name)

    def _vector(self, name: str) -> Tensor:
        return self.ops.constant(self.weights[name].reshape(1, 1, -1), name=name)

    def _integers(self, *values: int) -> Tensor:
        import numpy as np

        return self.ops.constant(np.array(values, np.int64))

    def _integer(self, value: int) -> Tensor:
        import numpy as np

        return self.ops.constant(np.int64(value))
