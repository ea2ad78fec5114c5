"""`NAME setting=value …` as several flags take it, and how it is written again."""

from collections.abc import Mapping, Sequence

from metarl_gan.config_error import ConfigError


def parse_named_settings(flag: str, words: Sequence[str]) -> tuple[str, dict[str, str]]:
    """A name, and its settings as written, by dotted name.

    Raises:
        ConfigError: for words that are not of this form, a setting that is given twice, or none.
    """
    name, *pairs = words or ("",)
    settings: dict[str, str] = {}
    for pair in pairs:
        setting, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(
                f"{flag} {name} {pair}: expected setting=value, such as generator.noise_size=4"
            )
        setting = setting.replace("-", "_")
        if setting in settings:
            raise ConfigError(f"{flag} {name} gives {setting} twice; keep one of them")
        settings[setting] = value
    if not settings:
        raise ConfigError(
            f"{flag} {name}: expected a name and then setting=value for each setting of its own"
        )
    return name, settings


def setting_words(settings: Mapping[str, object]) -> list[str]:
    """The inverse: `setting=value` for each."""
    return [f"{name}={as_word(value)}" for name, value in settings.items()]


def as_word(value: object) -> str:
    """A setting's value as one word of a command line."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
