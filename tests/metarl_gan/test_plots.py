"""Levels in a plot: every name can be read."""

from matplotlib.figure import Figure

from metarl_gan.plots import mark_levels


def names(floors: dict[str, float], reference: float | None) -> dict[str, str]:
    """Where the name of every level is: "over" or "under" its line."""
    axes = Figure().add_subplot()
    axes.plot([0.0, 1.0], [-100.0, 0.0])
    mark_levels(axes, floors, reference)
    return {
        text.get_text(): "under" if text.get_verticalalignment() == "top" else "over"
        for text in axes.texts
    }


def test_names_of_levels_that_are_far_apart_are_over_their_lines() -> None:
    assert names({"zero_action": -90.0, "random": -70.0}, -10.0) == {
        "reference -10": "over",
        "random -70": "over",
        "zero action -90": "over",
    }


def test_the_lower_of_two_near_levels_has_its_name_under_its_line() -> None:
    assert names({"zero_action": -90.0, "random": -91.0}, None) == {
        "zero action -90": "over",
        "random -91": "under",
    }
    assert names({"zero_action": -10.0}, -9.0)["zero action -10"] == "under"
