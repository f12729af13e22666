"""The page on the state tables is the rendering of the tables."""

from .render import PAGE, render


def test_page_is_the_rendering() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run: python -m tests.protocol.render"
