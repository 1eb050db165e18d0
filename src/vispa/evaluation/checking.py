"""Whether a run's items can be answered, before any of them is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vispa.evaluation.method_names import asks_pipeline
from vispa.items.asking import checked_requests, item_request
from vispa.items.item import Item
from vispa.taxonomy import Taxonomy


def check_items(
    items: Sequence[Item],
    methods: Sequence[str],
    shared: Mapping[str, Any],
    taxonomy: Taxonomy,
    weighted: Sequence[str] = (),
    *,
    own_stances: bool = False,
) -> None:
    """Refuse the first item that the pipeline's own method cannot answer; the other methods take any item.

    It would end the run amid its items, again at each repetition.

    Args:
        items: of a task.
        methods: names of the run's methods; nothing is checked where none is the pipeline's own.
        shared: fields of `vispa.request.Request` that hold for every item.
        taxonomy: the values.
        weighted: values that a given or fitted mixture weighs.
        own_stances: as in `vispa.items.asking.item_request`.

    Raises:
        InputError: names the item by its identifier, and the field.
    """
    if asks_pipeline(methods):
        requests = {item.id: item_request(item, shared, own_stances=own_stances) for item in items}
        checked_requests(requests, taxonomy, weighted)
