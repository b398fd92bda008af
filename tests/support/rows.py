"""Tables of cases as one test each.

A test that pytest makes of every row costs ten times what a small case does: each worker collects it, and each
reports its three phases. `every_row` is for tables whose rows need no fixture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any


def every_row(names: str | tuple[str, ...], rows: Iterable[Any]) -> Callable[..., Callable[..., None]]:
    """Calls a test with each row, as `pytest.mark.parametrize` names its arguments; an error names the row."""
    parameters = tuple(name.strip() for name in names.split(",")) if isinstance(names, str) else names
    table = [row if len(parameters) > 1 else (row,) for row in rows]
    assert table, "a table without rows tests nothing"

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def run(**others: Any) -> None:
            for row in table:
                arguments = dict(zip(parameters, row, strict=True))
                try:
                    test(**others, **arguments)
                except BaseException as error:
                    error.add_note(f"with {arguments}")
                    raise

        # pytest asks for the parameters of the test: those that the rows give are no fixtures.
        del run.__wrapped__
        return run

    return decorate
