"""Writes a tiny Llama of random weights, the same ones every time, in llama.cpp's format.

usage: make_model.py FILE.gguf

Any text can be tokenized, byte by byte if need be. The answers are words `w0` to `w249`, and they end only at the limit
that a request sets, for the end token is made improbable.
"""

import sys

import gguf
import numpy as np

CONTEXT = 8192
WIDTH = 64
INNER_WIDTH = 128
LAYERS = 2
HEADS = 4
KEY_VALUE_HEADS = 2
WORDS = 250
# <unk>, <s>, </s>, and one token a byte.
FIRST_WORD = 3 + 256

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def vocabulary():
    kind = gguf.TokenType
    tokens = [("<unk>", 0.0, kind.UNKNOWN), ("<s>", 0.0, kind.CONTROL), ("</s>", 0.0, kind.CONTROL)]
    tokens += [(f"<0x{byte:02X}>", 0.0, kind.BYTE) for byte in range(256)]
    tokens += [(f"\u2581w{n}", -1.0 - n, kind.NORMAL) for n in range(WORDS)]
    return tokens


def describe(writer, tokens):
    writer.add_name("tiny-random-llama")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER_WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_VALUE_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text.encode() for text, _, _ in tokens])
    writer.add_token_scores([score for _, score, _ in tokens])
    writer.add_token_types([kind for _, _, kind in tokens])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def weigh(writer, token_count):
    random = np.random.default_rng(20261110)

    def matrix(rows, columns, scale=0.05):
        return (random.standard_normal((rows, columns)) * scale).astype(np.float32)

    def norm():
        return np.ones(WIDTH, np.float32)

    output = matrix(token_count, WIDTH, 0.2)
    output[:FIRST_WORD] *= 0.01
    writer.add_tensor("token_embd.weight", matrix(token_count, WIDTH))
    writer.add_tensor("output_norm.weight", norm())
    writer.add_tensor("output.weight", output)
    key_value_width = WIDTH // HEADS * KEY_VALUE_HEADS
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        writer.add_tensor(block + "attn_norm.weight", norm())
        writer.add_tensor(block + "attn_q.weight", matrix(WIDTH, WIDTH))
        writer.add_tensor(block + "attn_k.weight", matrix(key_value_width, WIDTH))
        writer.add_tensor(block + "attn_v.weight", matrix(key_value_width, WIDTH))
        writer.add_tensor(block + "attn_output.weight", matrix(WIDTH, WIDTH))
        writer.add_tensor(block + "ffn_norm.weight", norm())
        writer.add_tensor(block + "ffn_gate.weight", matrix(INNER_WIDTH, WIDTH))
        writer.add_tensor(block + "ffn_up.weight", matrix(INNER_WIDTH, WIDTH))
        writer.add_tensor(block + "ffn_down.weight", matrix(WIDTH, INNER_WIDTH))


def main():
    writer = gguf.GGUFWriter(sys.argv[1], "llama")
    tokens = vocabulary()
    describe(writer, tokens)
    weigh(writer, len(tokens))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
