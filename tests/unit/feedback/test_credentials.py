"""A Secret is used only if its owner shared it with the operator, and says where it may go."""

from base64 import b64encode

import pytest

from retrainer.feedback.credentials import Credentials, parse_hosts, shared_secret
from retrainer.feedback.errors import SecretNotShared

VALUE = "postgresql://reader:hunter2@db.chat.svc/feedback"


def secret(labels=None, annotations=None, **data):
    return {
        "metadata": {"name": "db", "labels": labels, "annotations": annotations},
        "data": {k: b64encode(v.encode()).decode() for k, v in data.items()},
    }


SHARED = {"retrainer.dev/allow-operator": "true"}
HOSTS = {"retrainer.dev/allowed-hosts": "db.chat.svc, DB2.chat.svc."}


def test_a_shared_secret_gives_its_value_and_hosts():
    found = shared_secret(secret(SHARED, HOSTS, dsn=VALUE + "\n"), "db", "dsn")
    assert found == Credentials(VALUE, ("db.chat.svc", "db2.chat.svc"))


def test_the_value_never_shows():
    assert "hunter2" not in repr(shared_secret(secret(SHARED, HOSTS, dsn=VALUE), "db", "dsn"))


@pytest.mark.parametrize(
    ("sentence", "obj", "remedy"),
    [
        ("missing", None, "does not exist"),
        ("no label", secret(None, HOSTS, dsn=VALUE), "retrainer.dev/allow-operator"),
        ("label false", secret({"retrainer.dev/allow-operator": "false"}, HOSTS, dsn=VALUE), "allow-operator"),
        ("label True", secret({"retrainer.dev/allow-operator": "True"}, HOSTS, dsn=VALUE), "allow-operator"),
        ("no annotation", secret(SHARED, None, dsn=VALUE), "retrainer.dev/allowed-hosts"),
        ("empty annotation", secret(SHARED, {"retrainer.dev/allowed-hosts": " , "}, dsn=VALUE), "allowed-hosts"),
        ("wildcard", secret(SHARED, {"retrainer.dev/allowed-hosts": "*"}, dsn=VALUE), "allowed-hosts"),
        ("no such key", secret(SHARED, HOSTS, other=VALUE), 'no key "dsn"'),
        ("empty key", secret(SHARED, HOSTS, dsn=""), 'no key "dsn"'),
        ("no data", {"metadata": {"labels": SHARED, "annotations": HOSTS}}, 'no key "dsn"'),
        ("no text", {**secret(SHARED, HOSTS), "data": {"dsn": b64encode(b"\xff\xfe").decode()}}, "not text"),
        ("no base64", {**secret(SHARED, HOSTS), "data": {"dsn": "%%hunter2%%"}}, "not text"),
    ],
)
def test_anything_else_is_not_shared(sentence, obj, remedy):
    with pytest.raises(SecretNotShared) as caught:
        shared_secret(obj, "db", "dsn")
    assert remedy in caught.value.message, sentence
    assert "hunter2" not in caught.value.message
    assert caught.value.reason == "SecretNotShared"


def test_hosts_are_lower_case_without_repetition_or_wildcards():
    assert parse_hosts("a, B.c.,a,,*.d") == ("a", "b.c")
    assert parse_hosts(None) == ()
