"""One page in a tab of Chromium: its size, colours and medium, its pictures, and its probes."""

import base64
import io
import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from tests.browser.chromium import Chromium, ProtocolError

PROBES = Path(__file__).with_name("probes.js").read_text(encoding="utf-8")
DESKTOP, PHONE = 1280, 390
PAPER = {"paperWidth": 8.27, "paperHeight": 11.69}  # inches: A4
PAPER_WIDTH = 717  # CSS pixels between the margins of A4
TILE = 4000  # pixels; Chromium draws no picture of more than 16,384


class Tab:
    """A tab as a context manager. `open` loads a page, and the other methods are about it."""

    def __init__(self, chromium: Chromium) -> None:
        self._chromium = chromium
        self._target = str(chromium.call("Target.createTarget", url="about:blank")["targetId"])
        attached = chromium.call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = str(attached["sessionId"])
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._chromium.call("Target.closeTarget", targetId=self._target)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of this tab."""
        return self._chromium.call(method, self._session, **parameters)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return the events since the page was opened, up to now."""
        self.call("Runtime.evaluate", expression="0")  # earlier events come before its answer
        return self._chromium.events[self._session]

    def open(
        self,
        path: Path,
        *,
        width: int = DESKTOP,
        dark: bool = False,
        medium: str = "screen",
        folded: bool = False,
    ) -> None:
        """Load a page at a width, with light or dark colours, on a screen or on paper.

        Its folds are opened unless `folded`.
        """
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=medium, features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=844 if width == PHONE else 900,
            deviceScaleFactor=1,
            mobile=width == PHONE,
        )
        self._chromium.events.pop(self._session, None)
        answer = self.call("Page.navigate", url=path.absolute().as_uri())
        if "errorText" in answer:
            raise ProtocolError(f"{path}: {answer['errorText']}")
        self._chromium.wait_for(self._session, "Page.loadEventFired")
        self.probe("settle", folded)

    def evaluate(self, expression: str) -> Any:
        """Evaluate JavaScript, wait if it gives a promise, and return its value."""
        answer = self.call(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
            includeCommandLineAPI=True,
        )
        if "exceptionDetails" in answer:
            raise ProtocolError(json.dumps(answer["exceptionDetails"])[:1000])
        return answer["result"].get("value")

    def probe(self, name: str, *values: object) -> Any:
        """Call a function of `probes.js`, whose names stay apart from the page's."""
        call = f"{name}({', '.join(map(json.dumps, values))})"
        return self.evaluate(f"(() => {{ {PROBES}\nreturn {call}; }})()")

    def press(self, key: str, code: int) -> None:
        """Press and release a key."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    def move_mouse(self, x: float, y: float) -> None:
        """Move the mouse to a point of the window."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def picture(self) -> Image.Image:
        """Return a picture of the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        whole = Image.new("RGB", (int(size["width"]), int(size["height"])))
        for top in range(0, whole.height, TILE):
            height = min(TILE, whole.height - top)
            whole.paste(
                self.part({"x": 0, "y": top, "width": whole.width, "height": height}), (0, top)
            )
        return whole

    def part(self, box: dict[str, float]) -> Image.Image:
        """Return a picture of a box of the page."""
        clip = {**{name: box[name] for name in ("x", "y", "width", "height")}, "scale": 1}
        answer = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        with Image.open(io.BytesIO(base64.b64decode(answer["data"]))) as picture:
            return picture.convert("RGB")

    def pdf(self) -> bytes:
        """Return the page as it is printed on A4."""
        answer = self.call("Page.printToPDF", printBackground=True, **PAPER)
        return base64.b64decode(answer["data"])


def count_colours(picture: Image.Image) -> int:
    """Return the number of colours of a picture without its outermost pixels."""
    inner = picture.crop((2, 2, picture.width - 2, picture.height - 2))
    numbers = np.asarray(inner, dtype=np.uint32) @ np.array([1, 256, 65536], dtype=np.uint32)
    return len(np.unique(numbers))
