from __future__ import annotations

import pytest
import yaml

from determined.domain.config.masking import is_secret, masked, masked_text, unmasked_text
from determined.domain.config.storage import MASK
from determined.errors import InvalidInput

TEXT = """\
# where the bucket is
name: search   # not a secret
checkpoint_storage:
  type: s3
  access_key: AKIA1
  secret_key: "quoted, # and not a comment"
  bucket: models
environment:
  environment_variables:
    - HOME=/tmp
    - AWS_SECRET_ACCESS_KEY=s3cret
    - DSN=postgres://user:pw@host/db
data:
  password: |
    of two
    lines
  tokens: 4096
  pin_token: 12345
  use_password: true
  account_key:
hyperparameters:
  token: {type: categorical, vals: [a, b]}
  password: constant
"""


def test_secrets_are_told_by_their_names() -> None:
    secret = ["access_key", "secret_key", "password", "hf_token", "account-key", "API_KEY", "AWS_ACCESS_KEY_ID", "sas"]
    assert all(map(is_secret, secret))
    assert not any(map(is_secret, ["tokens", "tokenizer", "key", "keyword", "passed", "max_token_length", 3, None]))


def test_a_text_keeps_its_comments_and_its_order_and_loses_its_secrets() -> None:
    shown = masked_text(TEXT)
    for secret in ("AKIA1", "quoted", "s3cret", "pw", "of two", "12345"):
        assert secret not in shown
    for kept in ("# where the bucket is", "# not a secret", "bucket: models", "HOME=/tmp", "postgres://user:", "4096"):
        assert kept in shown
    assert yaml.safe_load(shown) == masked(yaml.safe_load(TEXT))
    assert yaml.safe_load(shown)["hyperparameters"] == yaml.safe_load(TEXT)["hyperparameters"]
    assert yaml.safe_load(shown)["data"] == {
        "password": MASK, "tokens": 4096, "pin_token": MASK, "use_password": True, "account_key": None,
    }  # fmt: skip


def test_what_was_hidden_comes_back_into_an_edited_copy() -> None:
    origin = yaml.safe_load(TEXT)
    assert yaml.safe_load(unmasked_text(masked_text(TEXT), origin)) == origin
    edited = masked_text(TEXT).replace("    - HOME=/tmp\n", "").replace("models", "others")
    back = yaml.safe_load(unmasked_text(edited, {}, origin))
    assert back["environment"]["environment_variables"] == [
        "AWS_SECRET_ACCESS_KEY=s3cret",
        "DSN=postgres://user:pw@host/db",
    ]
    assert back["checkpoint_storage"] == {**origin["checkpoint_storage"], "bucket": "others"}
    assert unmasked_text(f"description: '{MASK}'", {}) == f"description: '{MASK}'"


@pytest.mark.parametrize(
    "text",
    [
        f"checkpoint_storage: {{secret_key: '{MASK}'}}",
        f"environment: {{environment_variables: ['A_TOKEN={MASK}']}}",
        f"data: {{url: 'http://a:{MASK}@b'}}",
        f"a: {{secret: '{MASK}'}}",
        f"b: {{secret: '{MASK}'}}",
    ],
)
def test_what_is_hidden_and_not_known_is_refused_and_named(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"is hidden \(\*+\).*write the value itself"):
        unmasked_text(text, {"checkpoint_storage": {"bucket": "b"}, "a": "text", "b": [1]})


def test_aliases_and_merges_are_hidden_as_well_and_no_yaml_is_refused() -> None:
    text = "base: &b {password: one, list: [1]}\nother: {<<: *b, again: *b}\nsame: *b\n"
    assert "one" not in masked_text(text)
    assert masked_text("") == ""
    with pytest.raises(InvalidInput, match="no YAML"):
        masked_text("a: [")
