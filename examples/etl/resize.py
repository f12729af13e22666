"""Scale images down, with Pillow. `etl_args` is the longest side in pixels: `256`."""

import io
from typing import Any

from PIL import Image

from asgi_bridge.etl import ETLServer

DEFAULT_SIDE = 256
MOST_PIXELS = 100_000_000  # a small file can claim to be a huge image


class Unfit(Exception):
    """What the caller sent is no image, or no size: a 400, not a failure of this pod."""

    status_code = 400


class Resize(ETLServer):
    """The whole image is needed at once, so this is a transform() and not a stream."""

    # Nothing is shared, and Pillow lets other threads run while it decodes and encodes. Each image
    # takes up to 400 MB, by MOST_PIXELS; the pod has to have room for four.
    concurrency = 4

    def transform(self, data: bytes, path: str, etl_args: str) -> bytes:
        """Return a JPEG that fits into a square."""
        side = int(etl_args) if etl_args.isdecimal() else DEFAULT_SIDE
        out = io.BytesIO()
        try:
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise Unfit(f"{path} has {image.width} x {image.height} pixels")
                image.thumbnail((side, side))
                image.convert("RGB").save(out, "JPEG")
        except OSError as error:  # Pillow's UnidentifiedImageError is one
            raise Unfit(f"{path} is no image: {error}") from error
        return out.getvalue()

    def get_mime_type(self) -> str:
        """What hpull's users are told."""
        return "image/jpeg"


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(name)
    return Resize().app
