"""What the scan of PostgreSQL makes of the server's documents."""

import json

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec
from retrainer.feedback.connectors.postgres_scan import RowDecoder
from retrainer.feedback.mapping import resolve

SPEC = {
    "postgres": {"connectionSecretRef": {"name": "s", "key": "k"}, "table": "t"},
    "record": {
        "id": "id",
        "time": "at",
        "features": {
            "columns": [
                {"name": "age", "from": "age"},
                {"name": "member", "from": "member", "type": "Categorical", "categories": ["true", "false"]},
                {"name": "tier", "from": "tier", "type": "Categorical"},
            ]
        },
    },
    "signals": [{"name": "thumbs", "from": "vote", "thumbs": {"positive": ["1"], "negative": ["-1"]}}],
}


def test_a_category_is_a_text_whatever_the_type_of_its_column():
    columns = ["id", "at", "age", "member", "tier", "vote"]
    decoder = RowDecoder(resolve(FeedbackSourceSpec.model_validate(SPEC), columns))
    fixed = ["r1", 0, "u", "i", None, None, None, None, None, None, None]
    documents = [json.dumps(value) for value in (41.5, True, 3)]
    record = decoder.decode([*fixed, 1, *documents])
    assert record.features == {"age": 41.5, "member": "true", "tier": "3"}
