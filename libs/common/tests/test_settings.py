"""Goal: a configuration that can't be used is said in one sentence that names the file, the field and the remedy."""

from pathlib import Path

import pytest

from holdfast.settings import ConfigError, ServiceConfig

GOOD = """
site = "berlin01"
nats_url = "nats://127.0.0.1:4222"
nats_user = "site"
nats_password_file = "secret"
data_dir = "data"
"""


def load(tmp_path: Path, text: str) -> ServiceConfig:
    path = tmp_path / "service.toml"
    path.write_text(text)
    return ServiceConfig.load(path)


def test_a_good_file_is_read_with_its_defaults(tmp_path: Path):
    config = load(tmp_path, GOOD)
    assert (config.scope, config.site, config.health_port) == ("site", "berlin01", 0)


def test_the_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOLDFAST_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("HOLDFAST_HEALTH_PORT", "8080")
    config = load(tmp_path, GOOD + 'log_level = "ERROR"\n')
    assert (config.log_level, config.health_port) == ("DEBUG", 8080)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace('nats_user = "site"', ""), "nats_user: Field required"),
        (GOOD + 'nats_uzer = "x"\n', "nats_uzer: Extra inputs are not permitted"),
        (GOOD + "health_port = 70000\n", "health_port"),
        (GOOD.replace("berlin01", "Berlin"), "can't name a site"),
        (GOOD.replace("berlin01", "cloud"), "can't name a site"),
        (GOOD + "this is not", "is not TOML"),
        (GOOD + 'scope = "moon"\n', "scope"),
    ],
)
def test_a_bad_file_names_file_and_field(tmp_path: Path, text: str, said: str):
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, text)
    sentence = str(refused.value)
    assert said in sentence
    assert "service.toml" in sentence
    assert "\n" not in sentence


def test_a_missing_file_says_how_to_give_one(tmp_path: Path):
    with pytest.raises(ConfigError, match="--config FILE"):
        ServiceConfig.load(tmp_path / "none.toml")


def test_a_secret_stands_in_its_file(tmp_path: Path):
    secret = tmp_path / "secret"
    config = load(tmp_path, GOOD.replace('"secret"', f'"{secret}"'))
    with pytest.raises(ConfigError, match="holdfast provision"):
        config.password()
    secret.write_text("open sesame\n")
    assert config.password() == "open sesame"
    assert "open sesame" not in config.model_dump_json()
