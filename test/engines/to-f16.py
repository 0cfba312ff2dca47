#!/usr/bin/env python3
"""Writes a GGUF with all quantised weights as F16, for processors that a prebuilt server's kernels
for quantised weights do not run on.

usage: to-f16.py FROM.gguf TO.gguf [NAME]        needs the package gguf; NAME: what it calls itself
"""
import os
import sys

import gguf
import numpy as np

FLOATS = (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16)
F16 = 1  # LLAMA_FTYPE_MOSTLY_F16


def main(source, target, called=None):
    reader = gguf.GGUFReader(source)
    arch = reader.get_field("general.architecture").contents()
    unfinished = f"{target}.part"
    writer = gguf.GGUFWriter(unfinished, arch)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        value = F16 if name == "general.file_type" else field.contents()
        if name == "general.name" and called is not None:
            value = called
        kind = field.types[0]
        element = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, value, kind, element)
    for tensor in reader.tensors:
        if tensor.tensor_type in FLOATS:
            writer.add_tensor(tensor.name, tensor.data)
            continue
        weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, weights.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.rename(unfinished, target)


main(*sys.argv[1:])
