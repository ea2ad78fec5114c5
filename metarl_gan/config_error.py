"""What a setting must be, and the error that says so."""


class ConfigError(ValueError):
    """A setting that is unknown, of the wrong type, out of range, or contradicts another."""


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    """Raise `ConfigError` unless a setting, given by its dotted name, is what is allowed."""
    if not condition:
        raise ConfigError(f"{name} is {value!r}; it must be {allowed}")
