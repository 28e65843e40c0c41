"""Lines of text in pictures."""

import importlib
from typing import Any

import numpy as np

from manybody.media.renderer import Frame, VideoError

INSTALL_MEDIA = "pip install 'manybody[media]'"


def media_package(module: str) -> Any:
    """A package of the ``media`` extra.

    Raises:
        VideoError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise VideoError(f"{module} is not installed ({error}); {INSTALL_MEDIA}") from error


def captions_of(clips: np.ndarray, fps: float, returns: np.ndarray | None) -> list[list[str]]:
    """The line at the bottom of each of the E × K pictures: time, and the return so far."""
    times = [f"{k / fps:.1f} s" for k in range(clips.shape[1])]
    if returns is None:
        return [times] * len(clips)
    table = np.atleast_2d(np.asarray(returns, np.float64))
    if table.shape != clips.shape[:2]:
        raise ValueError(f"returns: shape {table.shape} given, (environments, frames) = {clips.shape[:2]} expected")
    return [[f"{time}   return {value:,.0f}" for time, value in zip(times, row, strict=True)] for row in table]


def labelled(picture: Frame, top: str = "", bottom: str = "") -> Frame:
    """``picture`` with a line in its top left or bottom left corner, on a dark rounded strip."""
    if not top and not bottom:
        return picture
    image = media_package("PIL.Image").fromarray(np.ascontiguousarray(picture))
    pen = media_package("PIL.ImageDraw").Draw(image, "RGBA")
    text_height = max(11, image.height // 30)
    font = media_package("PIL.ImageFont").load_default(size=text_height)
    margin, pad = text_height * 0.8, text_height * 0.5
    for text, anchor, y in ((top, "la", margin + pad), (bottom, "ls", image.height - margin - pad)):
        if text:
            left, above, right, below = pen.textbbox((margin + pad, y), text, font=font, anchor=anchor)
            pen.rounded_rectangle(
                (left - pad, above - pad, right + pad, below + pad), radius=pad, fill=(16, 20, 28, 150)
            )
            pen.text((margin + pad, y), text, font=font, anchor=anchor, fill=(255, 255, 255, 235))
    return np.asarray(image)
