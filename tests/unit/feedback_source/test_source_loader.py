"""How a source is opened: its spec from the cache, its Secret live, and only if it is shared."""

import asyncio
from base64 import b64encode
from pathlib import Path

import pytest

from retrainer.feedback.connectors.postgres import PostgresConnector
from retrainer.feedback.connectors.sqlite import SQLiteConnector
from retrainer.feedback.errors import SecretNotShared, Unreachable
from retrainer.feedback.fingerprint import fingerprint
from retrainer.feedback_source.loader import SourceLoader
from retrainer.kube.errors import ApiError
from retrainer.prometheus.client import PrometheusSource
from retrainer.prometheus.endpoint import Endpoint

KEY = ("ns", "a")
PASSWORD = "s3cret-0451"
POSTGRES = {"postgres": {"connectionSecretRef": {"name": "db", "key": "dsn"}, "table": "t"}}
SQLITE = {"sqlite": {"path": "f.db", "table": "t"}}


def source(where, **spec):
    signals = [{"name": "t", "from": "v", "thumbs": {"positive": ["1"], "negative": ["0"]}}]
    return {
        "metadata": {"uid": "u"},
        "spec": {**where, "record": {"id": "i", "time": "at"}, "signals": signals, **spec},
    }


def secret(password=PASSWORD, hosts="db.svc", allow="true"):
    dsn = b64encode(f"postgresql://u:{password}@db.svc/x".encode()).decode()
    labels = {"retrainer.dev/allow-operator": allow}
    return {"metadata": {"labels": labels, "annotations": {"retrainer.dev/allowed-hosts": hosts}}, "data": {"dsn": dsn}}


class FakeCache:
    def __init__(self, obj):
        self.obj = obj

    def get(self, resource, key):
        return self.obj


class FakeClient:
    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    async def get(self, resource, namespace, name):
        self.asked.append((namespace, name))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def load(obj, answer=None):
    client = FakeClient(answer)
    loader = SourceLoader(client, FakeCache(obj), Path("/data"), 30.0)
    return asyncio.run(loader.load(KEY)), client


def refusal(status):
    return ApiError(status, "Forbidden", "secrets is forbidden: " + PASSWORD)


def test_an_sqlite_source_needs_no_secret():
    opened, client = load(source(SQLITE))
    assert isinstance(opened.open(), SQLiteConnector)
    assert client.asked == []


def test_a_postgres_source_is_opened_with_its_shared_secret():
    opened, client = load(source(POSTGRES), secret())
    assert isinstance(opened.open(), PostgresConnector)
    assert client.asked == [("ns", "db")]
    assert PASSWORD not in repr(opened)


@pytest.mark.parametrize("answer", [None, secret(allow="no"), secret(hosts=""), refusal(403)])
def test_a_secret_that_is_not_shared_is_not_used(answer):
    with pytest.raises(SecretNotShared) as caught:
        load(source(POSTGRES), answer)
    assert PASSWORD not in caught.value.message


def test_a_secret_that_cannot_be_read_now_is_tried_again():
    with pytest.raises(Unreachable) as caught:
        load(source(POSTGRES), refusal(500))
    assert PASSWORD not in caught.value.message


def test_a_source_that_is_gone_is_unreachable():
    with pytest.raises(Unreachable):
        load(None)


def test_a_suspended_source_is_read_by_nobody():
    with pytest.raises(Unreachable, match=r"suspended \(spec.suspend\)"):
        load(source(SQLITE, suspend=True))


def test_a_rotated_password_other_hosts_or_another_spec_open_the_source_anew():
    same, other = load(source(POSTGRES), secret())[0], load(source(POSTGRES), secret())[0]
    assert same.fingerprint == other.fingerprint
    for obj, answer in (
        (source(POSTGRES), secret(password="new")),
        (source(POSTGRES), secret(hosts="db.svc,other.svc")),
        (source(POSTGRES, syncIntervalSeconds=60), secret()),
        ({**source(POSTGRES), "metadata": {"uid": "recreated"}}, secret()),
    ):
        assert load(obj, answer)[0].fingerprint != same.fingerprint


def of_prometheus(answer=None, token=("db", "dsn"), loopback=False):
    client = FakeClient(answer)
    loader = SourceLoader(client, FakeCache(None), None, 30.0, loopback)
    return asyncio.run(loader.load(Endpoint("ns", "http://p:9090", token))), client


def test_prometheus_without_a_token_needs_no_secret():
    opened, client = of_prometheus(token=None)
    assert isinstance(opened.open(), PrometheusSource)
    assert client.asked == []


def test_a_token_comes_from_a_shared_secret_and_is_never_shown():
    opened, client = of_prometheus(secret())
    assert isinstance(opened.open(), PrometheusSource)
    assert client.asked == [("ns", "db")]
    assert PASSWORD not in repr(opened)
    for answer in (None, secret(allow="no"), secret(hosts=""), refusal(403)):
        with pytest.raises(SecretNotShared):
            of_prometheus(answer)


def test_a_rotated_token_opens_prometheus_anew():
    same, other = of_prometheus(secret())[0], of_prometheus(secret())[0]
    assert same.fingerprint == other.fingerprint
    assert of_prometheus(secret(password="new"))[0].fingerprint != same.fingerprint


def test_a_cursor_survives_a_new_interval_but_no_new_mapping():
    from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec

    def of(obj):
        return fingerprint(FeedbackSourceSpec.model_validate(obj["spec"]))

    assert of(source(SQLITE)) == of(source(SQLITE, syncIntervalSeconds=60, suspend=True))
    assert of(source(SQLITE)) != of(source(SQLITE, record={"id": "i", "time": "at", "unit": "u"}))
    assert of(source(SQLITE)) != of(source(POSTGRES))
