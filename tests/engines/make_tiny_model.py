"""Writes a tiny Llama with random weights and a byte-level tokenizer: `make_tiny_model.py DIRECTORY`.

Run by the Python of the engine's own environment, which has transformers and tokenizers. The text it
generates means nothing; that its tokens are counted right does.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SENTENCE = "A watt becomes a token, and a token becomes a dollar, if nobody lets it become heat alone."
END = "</s>"


def main(target: Path) -> None:
    """Tokenizer and weights, under one megabyte together."""
    target.mkdir(parents=True, exist_ok=True)
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator([SENTENCE], vocab_size=320, min_frequency=1, special_tokens=["<s>", END])
    trained.save(str(target / "tokenizer.json"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(target / "tokenizer.json"), bos_token="<s>", eos_token=END, pad_token=END
    )
    tokenizer.save_pretrained(target)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        bos_token_id=0,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
