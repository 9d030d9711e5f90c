"""Every form in which a sentence-transformers directory describes its chain."""

from generator.chain_files import OLD_KEYS
from generator.chains import Chain, Dense

EVERY_MODE = ["cls", "mean", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens"]
FIRST_KEYS = ("word_embedding_dimension", *list(OLD_KEYS.values())[:4])
PROMPTS = {"query": "search query: ", "document": "", "topic": "the town, "}

# What tokenizer.json of many published models carries from training; the chain's own limit counts.
LEFTOVERS = {
    "truncation": {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0},
    "padding": {
        "strategy": {"Fixed": 32}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
    },
}  # fmt: skip


def _pooling() -> list[Chain]:
    new = [Chain(f"pool-{mode.replace('_', '-')}", f"pooling_mode {mode}", [mode]) for mode in EVERY_MODE]
    old = [Chain(f"{chain.name}-old", f"boolean {OLD_KEYS[chain.modes[0]]}", chain.modes, old=True) for chain in new]
    return [
        *new,
        *old,
        Chain(
            "pool-mean-oldest",
            "only the four first booleans, empty Normalize folder",
            ["mean"],
            old=True,
            normalize=True,
            pooling_keys=FIRST_KEYS,
        ),
        Chain("pool-combined-old", "three booleans: cls, max, mean in that order", ["cls", "max", "mean"], old=True),
        Chain("pool-combined", "a list of modes keeps its order", ["lasttoken", "mean", "cls"], normalize=True),
    ]


def _prompts() -> list[Chain]:
    asked = {"prompts": PROMPTS, "default_prompt": "query", "ask": [None, "document", "topic"]}
    return [
        Chain("prompts", "prompts take part in pooling; default prompt query", ["mean"], **asked),
        Chain("prompts-excluded", "include_prompt false", ["mean"], include_prompt=False, **asked),
        Chain(
            "prompts-excluded-cls",
            "include_prompt false: the first token after the prompt",
            ["cls"],
            include_prompt=False,
            **asked,
        ),
        Chain(
            "prompts-excluded-weighted",
            "include_prompt false: weights count from the prompt",
            ["max", "weightedmean"],
            include_prompt=False,
            old=True,
            **asked,
        ),
        Chain("prompts-no-default", "no default prompt", ["mean"], prompts=PROMPTS, ask=[None, "query"]),
    ]


def _dense() -> list[Chain]:
    activations = {
        "relu": "activation.ReLU",
        "gelu": "activation.GELU",
        "silu": "activation.SiLU",
        "sigmoid": "activation.Sigmoid",
    }
    return [
        Chain(
            "dense-tanh", "cls, Dense tanh, Normalize (LaBSE)", ["cls"], old=True, dense=[Dense(96, 40)], normalize=True
        ),
        Chain(
            "dense-identity",
            "no bias, no activation",
            ["mean"],
            dense=[Dense(96, 30, "linear.Identity", bias=False)],
            normalize=True,
        ),
        Chain(
            "dense-twice",
            "192 -> 50 -> 20 over two modes",
            ["mean", "max"],
            dense=[Dense(192, 50), Dense(50, 20, "linear.Identity")],
        ),
        *[
            Chain(f"dense-{name}", f"Dense {name}", ["mean"], dense=[Dense(96, 24, path)])
            for name, path in activations.items()
        ],
    ]


def _limits() -> list[Chain]:
    return [
        Chain("truncate-dim", "first 24 values, not normalised again", ["mean"], normalize=True, truncate_dim=24),
        Chain("max-length-old", "max_seq_length in sentence_bert_config.json", ["mean"], old=True, max_length=20),
        Chain(
            "max-length",
            "model_max_length in tokenizer_config.json",
            ["lasttoken"],
            max_length=11,
            length_in_tokenizer_config=True,
        ),
        Chain(
            "tokenizer-leftovers",
            "truncation and padding blocks in tokenizer.json to override",
            ["mean"],
            old=True,
            max_length=20,
            tokenizer_edit=LEFTOVERS,
        ),
        Chain(
            "transformer-subfolder",
            "the checkpoint in 0_Transformer",
            ["mean"],
            old=True,
            base_path="0_Transformer",
            normalize=True,
        ),
    ]


def _other_models() -> list[Chain]:
    roberta = "sentence_roberta_config.json"
    return [
        Chain("roberta-mean", "sentence_roberta_config.json", ["mean"], base="roberta", old=True, max_length=24, config_name=roberta),
        Chain("roberta-lower-case", "do_lower_case over a cased tokenizer", ["mean"], base="roberta", old=True, lower_case=True),
        Chain("xlm-roberta-prompts", "E5: prompts, mean, Normalize", ["mean"], base="xlm-roberta", normalize=True,
              prompts={"query": "query: ", "passage": "passage: "}, ask=[None, "query", "passage"]),
        Chain("camembert-cls", "cls and Normalize", ["cls"], base="camembert", old=True, normalize=True),
    ]  # fmt: skip


def chains() -> list[Chain]:
    return [*_pooling(), *_prompts(), *_dense(), *_limits(), *_other_models()]
