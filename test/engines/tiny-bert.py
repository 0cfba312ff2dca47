#!/usr/bin/env python3
"""Writes a BERT of two layers with random weights and a vocabulary of single characters: an embedding
model with nothing to download.

usage: tiny-bert.py TO.gguf        needs the package gguf

llama.cpp and Ollama load it like any embedding model. Its vectors mean nothing; equal texts have equal ones.
"""
import os
import sys

import gguf
import numpy as np

HIDDEN, MLP, LAYERS, HEADS, CONTEXT = 128, 512, 2, 4, 512
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
F16 = 1  # LLAMA_FTYPE_MOSTLY_F16
START = "\u2581"  # What GGUF writes before a token that begins a word; one that goes on has none.


def vocabulary(writer):
    visible = [chr(code) for code in range(33, 127)]
    tokens = SPECIAL + [START + char for char in visible] + visible
    kinds = [gguf.TokenType.CONTROL] * len(SPECIAL) + [gguf.TokenType.NORMAL] * (2 * len(visible))
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_type_count(2)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.add_eos_token_id(3)
    writer.add_mask_token_id(4)
    return len(tokens)


def weights(writer, tokens):
    random = np.random.default_rng(0)

    def matrix(name, *shape):
        writer.add_tensor(f"{name}.weight", (random.standard_normal(shape) * 0.05).astype(np.float16))

    def layer(name, *shape):
        matrix(name, *shape)
        writer.add_tensor(f"{name}.bias", np.zeros(shape[0], np.float32))

    def norm(name):
        writer.add_tensor(f"{name}.weight", np.ones(HIDDEN, np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(HIDDEN, np.float32))

    matrix("token_embd", tokens, HIDDEN)
    matrix("position_embd", CONTEXT, HIDDEN)
    writer.add_tensor("token_types.weight", np.zeros((2, HIDDEN), np.float32))
    norm("token_embd_norm")
    for index in range(LAYERS):
        block = f"blk.{index}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            layer(block + name, HIDDEN, HIDDEN)
        norm(f"{block}attn_output_norm")
        layer(f"{block}ffn_up", MLP, HIDDEN)
        layer(f"{block}ffn_down", HIDDEN, MLP)
        norm(f"{block}layer_output_norm")


def main(target):
    unfinished = f"{target}.part"
    writer = gguf.GGUFWriter(unfinished, "bert")
    writer.add_name("Tiny BERT")
    writer.add_file_type(F16)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(MLP)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    # Its presence is what tells Ollama that this model embeds and does not chat.
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    weights(writer, vocabulary(writer))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.rename(unfinished, target)


main(sys.argv[1])
