"""The parts that every page shares: templates, style, script, and the policy that allows no other.

A page carries all of them and requests nothing. jinja2 escapes every text.
"""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "template"
STYLE, SCRIPT = "style.css", "script.js"


def make_environment() -> "Environment":
    """Return the environment of all pages, which escapes texts and refuses unknown names."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_parts(
    environment: "Environment", *, family: str, woff: str = "", colours: Sequence[str] = ()
) -> dict[str, Any]:
    """Return style, script and security policy, which templates take under these names.

    Args:
        environment: the environment of the page.
        family: the name of the embedded font.
        woff: that font; "" if the page needs none.
        colours: the colours of the arms, in their order.
    """
    from markupsafe import Markup

    style = environment.get_template(STYLE).render(family=family, woff=woff, colours=colours)
    script = (TEMPLATES / SCRIPT).read_text(encoding="utf-8")
    policy = security_policy(style, script)
    return {"style": Markup(style), "script": Markup(script), "policy": Markup(policy)}


def security_policy(style: str, script: str) -> str:
    """Return a policy that allows this style, this script, and data in the page; nothing else."""
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    ]
    return (
        "default-src 'none'; img-src data:; font-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'"
    )
