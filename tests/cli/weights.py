"""Files that tests of --lora and --embedding make, and what they look at."""

import json
import struct

import numpy
from PIL import Image

UNET = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
TEXT = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"


def safetensors(tensors, metadata=None):
    header, data = {"__metadata__": metadata or {}}, b""
    for name, array in tensors.items():
        bytes_ = numpy.ascontiguousarray(array, dtype="<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(bytes_)]}
        data += bytes_
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def lora(modules=(UNET, TEXT), width=8, seed=1, **more):
    """A LoRA of these modules, all 8x8 in the tiny model."""
    random = numpy.random.default_rng(seed)
    tensors = {}
    for module in modules:
        tensors |= {f"{module}.lora_down.weight": random.normal(size=(2, width)),
                    f"{module}.lora_up.weight": random.normal(size=(8, 2)), f"{module}.alpha": numpy.array(2.0)}
    return safetensors(tensors | {name: numpy.ones(8) for name in more.get("others", ())})


def vectors(count=2, width=8, seed=1):
    """Of an embedding."""
    return numpy.random.default_rng(seed).normal(size=(count, width))


def record(file):
    with Image.open(file) as image:
        return image.text["parameters"], json.loads(image.text["darkroom"])


def only_the_second_line_works(darkroom, option, words):
    """Of a prompt file that names these words in its lines."""
    darkroom.write("p.jsonl", "\n".join(json.dumps({"prompt": f"{index} wide", option: word}) for index, word in enumerate(words)))
    result = darkroom.make("-f", "p.jsonl", "-s", "1")
    assert result.code == 1
    assert result.out == "./00001-1-wide-1.png\n"
    for line in range(1, len(words) + 1):
        assert result.err.count(f"p.jsonl:{line}: ") == (line != 2), result.err


def check_reads(darkroom, option):
    """Whether `check` takes the option, and finds the file."""
    words = ("check", "style", "-m", "tiny", "-t", "1", "--steps", "2", "-W", "16", "-H", "16", "--precision", "bf16")
    assert darkroom.run(*words, option, "style.safetensors").code == 0
    assert darkroom.run(*words, option, "gone.safetensors").code == 3
