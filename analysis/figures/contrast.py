"""Contrast of text in figures, whose background is white."""

from __future__ import annotations

from typing import Any

from matplotlib.colors import to_rgb

TEXT_CONTRAST = 4.5  # least contrast ratio of text to its background (WCAG 2.2, 1.4.3)


def text_color(color: Any) -> tuple[float, float, float]:
    """Returns a colour for text on white: darkened until its contrast is at least TEXT_CONTRAST.

    Args:
        color: Any colour of Matplotlib.
    """
    red, green, blue = to_rgb(color)
    while contrast_to_white((red, green, blue)) < TEXT_CONTRAST:
        red, green, blue = 0.95 * red, 0.95 * green, 0.95 * blue
    return red, green, blue


def contrast_to_white(color: tuple[float, float, float]) -> float:
    """Returns the contrast ratio of a colour to white (WCAG 2.2, "contrast ratio" and "relative luminance").

    Args:
        color: Red, green and blue from 0 to 1, in sRGB.
    """
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in color]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 1.05 / (luminance + 0.05)
