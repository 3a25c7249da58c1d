"""Makes a tiny Llama with random weights, its tokenizer and its chat template, without a network: make_model.py FOLDER

Its answers are nonsense of readable words, and it hardly ever ends by itself: how long an answer is, the request says.
"""

import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL = ["<pad>", "<s>", "</s>", "<turn>", "</turn>"]
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
# The byte-level letter for a space begins each word.
WORDS = [f"\u0120word{number}" for number in range(512 - len(SPECIAL) - len(LETTERS))]
CONTEXT = 16384

TEMPLATE = (
    "{% for message in messages %}<turn>{{ message['role'] }}: {{ message['content'] }}</turn>{% endfor %}"
    "{% if add_generation_prompt %}<turn>assistant: {% endif %}"
)


def make_tokenizer():
    vocabulary = {token: number for number, token in enumerate(SPECIAL + LETTERS + WORDS)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = TEMPLATE
    return fast


def make_model():
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=CONTEXT,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        # Words, and hardly ever a letter or an end.
        model.lm_head.weight[: len(SPECIAL) + len(LETTERS)] *= 0.01
    model.generation_config = GenerationConfig(pad_token_id=0, bos_token_id=1, eos_token_id=2)
    return model


folder = sys.argv[1]
make_tokenizer().save_pretrained(folder)
make_model().save_pretrained(folder, safe_serialization=True)
