"""Models that were registered before the package had rooms: their files, made to the letter, and what they answer.

MLflow calls `ganscribe.serving._load_pyfunc` for them. Their last layers ignore what comes in, so that the answers are
known, and are those of the right weights in the right places.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ganscribe.serving import _load_pyfunc
from ganscribe.serving.pictures import encode_png

Shapes = dict[str, tuple[int, ...]]
GENERATOR: Shapes = {  # networks: mlp
    "0.weight": (1024, 8),
    "0.bias": (1024,),
    "2.weight": (1024, 1024),
    "2.bias": (1024,),
    "4.weight": (784, 1024),
    "4.bias": (784,),
}
CLASSIFIER: Shapes = {  # network: lenet5
    "conv1.weight": (6, 1, 5, 5),
    "conv1.bias": (6,),
    "conv2.weight": (16, 6, 5, 5),
    "conv2.bias": (16,),
    "fc1.weight": (120, 400),
    "fc1.bias": (120,),
    "fc2.weight": (84, 120),
    "fc2.bias": (84,),
    "classifier.weight": (3, 84),
    "classifier.bias": (3,),
}
CAPTIONER: Shapes = {
    "encoder.weight": (256, 2048),
    "encoder.bias": (256,),
    "attention_key.weight": (8, 256),
    "attention_key.bias": (8,),
    "attention_query.weight": (8, 8),
    "attention_query.bias": (8,),
    "attention_score.weight": (1, 8),
    "embedding.weight": (6, 8),
    "gru.weight_ih": (24, 264),
    "gru.weight_hh": (24, 8),
    "gru.bias_ih": (24,),
    "gru.bias_hh": (24,),
    "hidden.weight": (8, 8),
    "hidden.bias": (8,),
    "output.weight": (6, 8),
    "output.bias": (6,),
}


def random(shapes: Shapes) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return {name: 0.1 * torch.randn(shape, generator=rng) for name, shape in shapes.items()}


def answer(folder: Path, **row: Any) -> dict[str, Any]:
    (found,) = _load_pyfunc(str(folder)).predict(pd.DataFrame([row])).to_dict("records")
    return found


def test_a_generator(tmp_path: Path) -> None:
    state = random(GENERATOR)
    state["4.weight"].zero_()
    facts = {"networks": "mlp", "noise_dim": 8, "noise": "normal", "image_shape": [1, 28, 28]}
    torch.save(facts | {"state_dict": state}, tmp_path / "model.pt")
    text = answer(tmp_path, seed=3, count=1)["image"]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))), np.float32)
    expected = (state["4.bias"].tanh().reshape(28, 28) + 1) * 127.5
    np.testing.assert_allclose(pixels, expected.numpy(), atol=0.51)


def test_a_classifier(tmp_path: Path) -> None:
    state = random(CLASSIFIER)
    state["classifier.weight"].zero_()
    facts = {"network": "lenet5", "options": {}, "num_classes": 3, "image_shape": [1, 28, 28]}
    classes = ["one", "two", "three"]
    torch.save(facts | {"classes": classes, "state_dict": state}, tmp_path / "model.pt")
    found = answer(tmp_path, image=encode_png(np.zeros((1, 28, 28), np.uint8)))
    expected = state["classifier.bias"].softmax(0)
    assert found["label"] == classes[int(expected.argmax())]
    assert [found[name] for name in classes] == pytest.approx(expected.tolist())


def write_inception(path: Path) -> None:
    """Torchvision's layout, the batch norms folded into the convolutions."""
    from torchvision.models import inception_v3
    from torchvision.models.inception import BasicConv2d

    with torch.device("meta"):
        network = inception_v3(weights=None, aux_logits=False, init_weights=False)
    state = {}
    for name, layer in network.named_modules():
        if isinstance(layer, BasicConv2d):
            state[f"inception.{name}.conv.weight"] = torch.zeros(layer.conv.weight.shape)
            state[f"inception.{name}.conv.bias"] = torch.ones(layer.conv.out_channels)
    torch.save({"label": "random-init", "sha256": "5" * 64, "state_dict": state}, path)


def test_a_captioner(tmp_path: Path) -> None:
    write_inception(tmp_path / "inception.pt")
    state = random(CAPTIONER)
    state["output.weight"].zero_()
    state["output.bias"] += torch.tensor([0.0, 0, 0, 0, 9, 0])
    preprocessing = "whole image to 299x299, bilinear, antialiased; ImageNet mean and std"
    facts = {
        "options": {"vocabulary_size": 6, "embedding_dim": 8, "units": 8},
        "vocabulary": ["<pad>", "<unk>", "<start>", "<end>", "dog", "cat"],
        "features": {"preprocessing": preprocessing, "weights": "random-init", "weights_sha256": "5" * 64},
    }
    torch.save(facts | {"state_dict": state}, tmp_path / "model.pt")
    found = answer(tmp_path, image=encode_png(np.zeros((3, 40, 50), np.uint8)))
    assert set(found["words"]) == {"dog"} and found["caption"] == " ".join(found["words"])
