"""The groups of model fixtures, and the tokenizers that some of them carry."""

from pathlib import Path

from tokenizers import Tokenizer

from generator import (
    bert_fixtures,
    decoder_fixtures,
    embedder_fixtures,
    family_fixtures,
    head_fixtures,
    tokenizer_training,
)
from generator.fixtures import Fixture

HERE = Path(__file__).resolve().parent.parent
MODELS = HERE / "models"

MODEL_GROUPS = {
    "bert": bert_fixtures,
    "heads": head_fixtures,
    "families": family_fixtures,
    "decoders": decoder_fixtures,
    "embedders": embedder_fixtures,
}


def load_tokenizers() -> dict[str, Tokenizer]:
    return {
        name: Tokenizer.from_file(str(MODELS / name / "checkpoint/tokenizer.json"))
        for name in tokenizer_training.CONFIGS
    }


def every_fixture() -> list[Fixture]:
    tokenizers = load_tokenizers()
    return [fixture for module in MODEL_GROUPS.values() for fixture in module.fixtures(tokenizers)]
