"""The JSON schema of a sweep in YAML, `sweep/<name>.yaml`."""

from runner.commands.json_schema import Schema, closed_object
from runner.wording.names import NAME

OVERRIDES: Schema = {"type": "array", "items": {"type": "string"}}
VALUES: Schema = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {"type": "array", "minItems": 1},
}


def sweep_file_schema() -> Schema:
    """Return the schema of a file that describes a sweep; see `runner.sweeps.named_sweep`."""
    fields: dict[str, Schema] = {
        "title": {"type": "string", "description": "the title of the page of the sweep"},
        "overrides": {**OVERRIDES, "description": "overrides of every point, as typed"},
        "zip": {
            **VALUES,
            "description": "lists of equal lengths; the n-th values belong together",
        },
        "grid": {**VALUES, "description": "lists of values; every combination is a point"},
        "points": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": f"^({NAME.pattern})$"},
            "additionalProperties": OVERRIDES,
            "description": "names of points with their overrides",
        },
    }
    needed = [{"required": [name]} for name in ("zip", "grid", "points")]
    return {**closed_object(fields), "anyOf": needed}
