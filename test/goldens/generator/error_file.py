"""Files of errors by fixture and output."""

import json
from collections.abc import Callable
from pathlib import Path


def update(
    path: Path, versions: dict[str, str], all_fixtures: list, errors_of: Callable[..., dict[str, float]], only: str | None
) -> int:
    """Writes the errors of `all_fixtures`, or of `only` that one beside what is in the file."""
    errors = json.loads(path.read_text())["errors"] if path.exists() else {}
    chosen = [fixture for fixture in all_fixtures if only in (None, fixture.name)]
    for fixture in chosen:
        errors[fixture.name] = errors_of(fixture)
        print(fixture.name, errors[fixture.name], flush=True)
    lines = ",\n".join(f'  "{name}": {json.dumps(errors[name])}' for name in sorted(errors))
    path.write_text(f'{{\n "versions": {json.dumps(versions)},\n "errors": {{\n{lines}\n }}\n}}\n')
    return len(chosen)
