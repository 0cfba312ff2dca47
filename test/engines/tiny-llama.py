#!/usr/bin/env python3
"""Makes a Llama of two layers with random weights and a tokenizer of single bytes: nothing to download.

usage: tiny-llama.py FOLDER        needs numpy, safetensors and tokenizers; both engines bring them

vLLM and mlx-lm load it like any model. Its words mean nothing; they come at the pace of a real one.
"""
import json
import os
import sys

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

HIDDEN, MLP, LAYERS, HEADS, HEAD = 64, 128, 2, 2, 32
SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)


def tokenizer(folder):
    vocabulary = {text: index for index, text in enumerate(SPECIAL)}
    for char in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary[char] = len(vocabulary)
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(SPECIAL)
    made.save(os.path.join(folder, "tokenizer.json"))
    return len(vocabulary)


def weights(folder, vocabulary):
    random = np.random.default_rng(0)

    def matrix(*shape):
        return (random.standard_normal(shape) * 0.05).astype(np.float16)

    ones = np.ones(HIDDEN, np.float16)
    all_heads = HEADS * HEAD
    # The most likely token is one of the 94 visible characters of ASCII: each has a text, none ends the
    # answer, and what the model says at temperature 0 goes on for ever.
    head = matrix(vocabulary, HIDDEN)
    head[: len(SPECIAL)] = 0
    head[len(SPECIAL) + 94 :] = 0
    tensors = {
        "model.embed_tokens.weight": matrix(vocabulary, HIDDEN),
        "lm_head.weight": head,
        "model.norm.weight": ones,
    }
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        for name in ("q_proj", "k_proj", "v_proj"):
            tensors[f"{prefix}self_attn.{name}.weight"] = matrix(all_heads, HIDDEN)
        tensors[f"{prefix}self_attn.o_proj.weight"] = matrix(HIDDEN, all_heads)
        tensors[f"{prefix}mlp.gate_proj.weight"] = matrix(MLP, HIDDEN)
        tensors[f"{prefix}mlp.up_proj.weight"] = matrix(MLP, HIDDEN)
        tensors[f"{prefix}mlp.down_proj.weight"] = matrix(HIDDEN, MLP)
        tensors[f"{prefix}input_layernorm.weight"] = ones
        tensors[f"{prefix}post_attention_layernorm.weight"] = ones
    save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})


def main(folder):
    os.makedirs(folder, exist_ok=True)
    vocabulary = tokenizer(folder)
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    write(folder, "generation_config.json", ids)
    write(folder, "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<unk>",
        "model_max_length": 262144,
        "clean_up_tokenization_spaces": False,
        "chat_template": TEMPLATE,
    })
    weights(folder, vocabulary)
    # The last one: its presence says that the folder is whole.
    write(folder, "config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "hidden_size": HIDDEN, "intermediate_size": MLP, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "head_dim": HEAD,
        "vocab_size": vocabulary, "max_position_embeddings": 262144,
        "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 10000.0,
        "tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False,
        "torch_dtype": "bfloat16", **ids,
    })


main(sys.argv[1])
