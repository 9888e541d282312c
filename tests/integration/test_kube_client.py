"""Our client against the real API server: what is a user's stays a user's, and one process leads."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from crd.definitions import install
from crd.valid_objects import BASES

from devcluster.cluster import Cluster
from retrainer.kube import client as client_module
from retrainer.kube.client import Client
from retrainer.kube.errors import AlreadyExists, ApiError, Conflict, NameConflict, NotFound, Refused
from retrainer.kube.ownership import apply_if_ours, create_or_adopt
from retrainer.kube.resources import (
    AB_EXPERIMENT,
    CONFIG_MAP,
    DEPLOYMENT,
    FEEDBACK_SOURCE,
    HTTP_ROUTE,
    LEASE,
    Resource,
    resource_of_object,
)
from retrainer.plan import Object, Plan, Ref
from retrainer.runtime.lease import LeaderLease, NotLeader
from retrainer.runtime.reconciler import Reconciler, Surroundings

OUR_LABELS = {"retrainer.dev/managed-by": "retrainer"}


class Api:
    """A client that tests use without awaiting."""

    def __init__(self, kubeconfig: str) -> None:
        self.runner = asyncio.Runner()
        self.kubeconfig = kubeconfig
        self.client: Client = self.run(Client.connect(kubeconfig))

    def run(self, awaitable: Any) -> Any:
        return self.runner.run(awaitable)

    def get(self, resource: Resource, namespace: str, name: str) -> Any:
        return self.run(self.client.get(resource, namespace, name))

    def create(self, obj: Object) -> Object:
        created: Object = self.run(self.client.create(obj))
        return created


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[Api]:
    install(cluster.kubeconfig)
    opened = Api(str(cluster.kubeconfig))
    yield opened
    opened.run(opened.client.close())
    opened.runner.close()


@pytest.fixture
def namespace(api: Api) -> Iterator[str]:
    """As the shared one, without a kubectl for each test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    api.run(api.client._json("POST", "/api/v1/namespaces", {}, body))
    yield name
    api.run(api.client._json("DELETE", f"/api/v1/namespaces/{name}"))


@pytest.fixture
def owner(api: Api, namespace: str) -> Object:
    """A FeedbackSource that stands for whoever owns children."""
    return api.create(sample("FeedbackSource", namespace, "owner"))


def sample(kind: str, namespace: str, name: str) -> Object:
    return {**BASES[kind](), "metadata": {"name": name, "namespace": namespace}}


def config_map(namespace: str, name: str, **data: str) -> Object:
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data or {"a": "1"}}


def deployment(namespace: str, name: str, *variables: str) -> Object:
    container = {"name": "c", "image": "server", "env": [{"name": v, "value": "1"} for v in variables]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template}
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def http_route(namespace: str, name: str, weight: int = 1) -> Object:
    rules = [{"backendRefs": [{"name": "server", "port": 8080, "weight": weight}]}]
    spec = {"parentRefs": [{"name": "nowhere"}], "rules": rules}
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": HTTP_ROUTE.api_version, "kind": "HTTPRoute", "metadata": meta, "spec": spec}


def owned(obj: Object, owner: Object) -> Object:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    return {**obj, "metadata": {**obj["metadata"], "labels": OUR_LABELS, "ownerReferences": [reference]}}


def ref(obj: Object, uid: str | None = None) -> Ref:
    meta = obj["metadata"]
    return Ref(obj["apiVersion"], obj["kind"], meta["namespace"], meta["name"], uid)


MAKERS = pytest.mark.parametrize("make", [config_map, deployment, http_route], ids=lambda make: make.__name__)
Make = Callable[[str, str], Object]


class TestObjectsOfUsers:
    """A ConfigMap, Deployment or HTTPRoute of a user's with a name that we would use."""

    @MAKERS
    @pytest.mark.parametrize("write", [create_or_adopt, apply_if_ours], ids=["create", "apply"])
    def test_it_is_neither_taken_over_nor_changed(
        self, make: Make, write: Any, api: Api, namespace: str, owner: Object
    ) -> None:
        users = api.create(make(namespace, "wanted"))
        with pytest.raises(NameConflict, match=f"{users['kind']} wanted exists and does not belong"):
            api.run(write(api.client, owned(make(namespace, "wanted"), owner)))
        live = api.get(resource_of_object(users), namespace, "wanted")
        assert live["spec" if "spec" in users else "data"] == users["spec" if "spec" in users else "data"]
        assert "ownerReferences" not in live["metadata"] and "labels" not in live["metadata"]
        assert live["metadata"]["uid"] == users["metadata"]["uid"]

    @MAKERS
    def test_it_is_not_deleted_in_the_place_of_one_of_ours(
        self, make: Make, api: Api, namespace: str, owner: Object
    ) -> None:
        """Ours was deleted and the user took the name, while a plan still wants to delete ours."""
        ours = api.create(owned(make(namespace, "wanted"), owner))
        resource = resource_of_object(ours)
        api.run(api.client.delete(ref(ours, ours["metadata"]["uid"]), resource))
        api.run(until_absent(api.client, resource, namespace, "wanted"))
        users = api.create(make(namespace, "wanted"))
        with pytest.raises(Conflict):
            api.run(api.client.delete(ref(ours, ours["metadata"]["uid"]), resource))
        live = api.get(resource, namespace, "wanted")
        assert live["metadata"]["uid"] == users["metadata"]["uid"]
        assert "deletionTimestamp" not in live["metadata"]

    @MAKERS
    def test_one_that_another_controller_owns_is_left_to_it(
        self, make: Make, api: Api, namespace: str, owner: Object
    ) -> None:
        other = api.create(sample("FeedbackSource", namespace, "other"))
        api.create(owned(make(namespace, "wanted"), other))
        with pytest.raises(NameConflict):
            api.run(apply_if_ours(api.client, owned(make(namespace, "wanted"), owner)))

    @MAKERS
    def test_an_apply_that_is_overtaken_does_not_seize_it(
        self, make: Make, api: Api, namespace: str, owner: Object
    ) -> None:
        """Between look and write ours vanishes and the user takes the name: the checked uid goes along."""
        ours = api.create(owned(make(namespace, "wanted"), owner))
        resource = resource_of_object(ours)
        api.run(api.client.delete(ref(ours), resource))
        api.run(until_absent(api.client, resource, namespace, "wanted"))
        users = api.create(make(namespace, "wanted"))
        late = owned(make(namespace, "wanted"), owner)
        late["metadata"]["uid"] = ours["metadata"]["uid"]
        with pytest.raises((Refused, Conflict)):
            api.run(api.client.apply(late))
        live = api.get(resource, namespace, "wanted")
        assert "ownerReferences" not in live["metadata"]
        assert live["metadata"]["resourceVersion"] >= users["metadata"]["resourceVersion"]

    def test_an_apply_to_what_vanished_creates_nothing(self, api: Api, namespace: str, owner: Object) -> None:
        wanted = owned(config_map(namespace, "gone", a="1"), owner)
        wanted["metadata"]["uid"] = str(uuid.uuid4())
        with pytest.raises(Conflict):
            api.run(api.client.apply(wanted))
        assert api.get(CONFIG_MAP, namespace, "gone") is None

    def test_the_owner_says_so_on_its_status_and_recovers_when_the_name_is_free(
        self, api: Api, namespace: str, owner: Object
    ) -> None:
        users = api.create(config_map(namespace, "wanted", mine="1"))
        reconciler = owner_of_a_map(api, owned(config_map(namespace, "wanted", ours="1"), owner))
        assert api.run(reconciler.reconcile((namespace, "owner"), 0)) == 60.0
        assert "ConfigMap wanted exists" in cursor(api, namespace)
        assert api.get(CONFIG_MAP, namespace, "wanted")["data"] == {"mine": "1"}
        api.run(api.client.delete(ref(users), CONFIG_MAP))
        api.run(reconciler.reconcile((namespace, "owner"), 0))
        assert cursor(api, namespace) == "made"
        assert api.get(CONFIG_MAP, namespace, "wanted")["data"] == {"ours": "1"}


def cursor(api: Api, namespace: str) -> str:
    return str(api.get(FEEDBACK_SOURCE, namespace, "owner")["status"]["cursor"])


def owner_of_a_map(api: Api, wanted: Object) -> Reconciler[Any]:
    """A controller that wants one ConfigMap and tells on its status how that went."""
    from dataclasses import dataclass
    from datetime import UTC, datetime

    from retrainer.kube.cache import Cache

    @dataclass(frozen=True)
    class Input:
        obj: Object
        name_conflict: str | None = None

    async def observe(obj: Object) -> Input:
        return Input(obj)

    def decide(seen: Input, now: datetime) -> Plan:
        if seen.name_conflict is not None:
            return Plan(status={"cursor": seen.name_conflict})
        return Plan(status={"cursor": "made"}, creates=(wanted,))

    async def may_write() -> None:
        return None

    cache = Cache()
    cache.put(FEEDBACK_SOURCE, api.get(FEEDBACK_SOURCE, wanted["metadata"]["namespace"], "owner"))
    around = Surroundings(api.client, cache, may_write, lambda: datetime.now(UTC))
    return Reconciler(FEEDBACK_SOURCE, around, observe, decide, "Ready")


async def until_written(write: Callable[[], Any]) -> Any:
    """A write as passes do it: a conflict with another writer is tried again."""
    for _ in range(50):
        try:
            return await write()
        except Conflict:
            await asyncio.sleep(0.02)
    return await write()


async def until_absent(client: Client, resource: Resource, namespace: str, name: str) -> None:
    async with asyncio.timeout(30):
        while await client.get(resource, namespace, name) is not None:
            await asyncio.sleep(0.02)


class TestOurObjects:
    @MAKERS
    def test_creating_twice_finds_the_first_and_leaves_it(
        self, make: Make, api: Api, namespace: str, owner: Object
    ) -> None:
        first = api.run(create_or_adopt(api.client, owned(make(namespace, "wanted"), owner)))
        again = api.run(create_or_adopt(api.client, owned(make(namespace, "wanted"), owner)))
        assert again["metadata"]["uid"] == first["metadata"]["uid"]

    @MAKERS
    def test_applying_again_changes_nothing(self, make: Make, api: Api, namespace: str, owner: Object) -> None:
        wanted = owned(make(namespace, "wanted"), owner)
        api.run(until_written(lambda: apply_if_ours(api.client, wanted)))
        first = api.run(until_written(lambda: apply_if_ours(api.client, wanted)))
        again = api.run(until_written(lambda: apply_if_ours(api.client, wanted)))
        assert again["metadata"].get("generation") == first["metadata"].get("generation")
        assert again["metadata"]["managedFields"][0]["operation"] == "Apply"

    def test_a_variable_that_is_applied_no_more_is_removed(self, api: Api, namespace: str, owner: Object) -> None:
        """The server keeps a field that a POST of ours still owns."""
        for variables in (("A", "B"), ("A", "B"), ("A",)):
            wanted = owned(deployment(namespace, "server", *variables), owner)
            api.run(until_written(lambda wanted=wanted: apply_if_ours(api.client, wanted)))
        live = api.get(DEPLOYMENT, namespace, "server")
        assert [v["name"] for v in live["spec"]["template"]["spec"]["containers"][0]["env"]] == ["A"]

    def test_a_variable_may_be_removed_by_the_first_apply_after_the_creation(
        self, api: Api, namespace: str, owner: Object
    ) -> None:
        api.run(apply_if_ours(api.client, owned(deployment(namespace, "server", "A", "B"), owner)))
        api.run(until_written(lambda: apply_if_ours(api.client, owned(deployment(namespace, "server", "A"), owner))))
        live = api.get(DEPLOYMENT, namespace, "server")
        assert [v["name"] for v in live["spec"]["template"]["spec"]["containers"][0]["env"]] == ["A"]

    def test_replicas_that_are_not_applied_belong_to_an_autoscaler(
        self, api: Api, namespace: str, owner: Object
    ) -> None:
        wanted = owned(deployment(namespace, "server", "A"), owner)
        del wanted["spec"]["replicas"]
        api.run(until_written(lambda: apply_if_ours(api.client, wanted)))
        path = DEPLOYMENT.path(namespace, "server", "scale")
        query, patch = {"fieldManager": "autoscaler"}, {"spec": {"replicas": 0}}
        api.run(api.client._json("PATCH", path, query, patch, "application/merge-patch+json"))
        api.run(until_written(lambda: apply_if_ours(api.client, wanted)))
        assert api.run(until_written(lambda: apply_if_ours(api.client, wanted)))["spec"]["replicas"] == 0

    def test_weights_that_somebody_edited_are_put_back(self, api: Api, namespace: str, owner: Object) -> None:
        wanted = owned(http_route(namespace, "route", 90), owner)
        api.run(until_written(lambda: apply_if_ours(api.client, wanted)))
        edited = http_route(namespace, "route", 10)["spec"]
        api.run(api.client.merge(ref(wanted), HTTP_ROUTE, {"spec": {"rules": edited["rules"]}}))
        applied = api.run(until_written(lambda: apply_if_ours(api.client, wanted)))
        assert applied["spec"]["rules"][0]["backendRefs"][0]["weight"] == 90

    def test_deleting_an_object_removes_what_it_owns_and_not_what_users_own(
        self, api: Api, namespace: str, owner: Object
    ) -> None:
        api.run(create_or_adopt(api.client, owned(config_map(namespace, "ours"), owner)))
        api.create(config_map(namespace, "users"))
        api.run(api.client.delete(ref(owner, owner["metadata"]["uid"]), FEEDBACK_SOURCE))
        api.run(until_absent(api.client, CONFIG_MAP, namespace, "ours"))
        assert api.get(CONFIG_MAP, namespace, "users") is not None


class TestStatus:
    def test_a_status_of_an_object_that_changed_is_a_conflict(self, api: Api, namespace: str, owner: Object) -> None:
        api.run(api.client.replace({**owner, "spec": {**owner["spec"], "suspend": True}}))
        with pytest.raises(Conflict):
            api.run(api.client.put_status(owner, {"cursor": "a"}))
        assert "status" not in api.get(FEEDBACK_SOURCE, namespace, "owner")

    def test_a_second_status_from_the_same_version_is_a_conflict(self, api: Api, owner: Object) -> None:
        api.run(api.client.put_status(owner, {"cursor": "a"}))
        with pytest.raises(Conflict):
            api.run(api.client.put_status(owner, {"cursor": "b"}))

    def test_the_answer_can_be_written_upon_at_once(self, api: Api, owner: Object) -> None:
        first = api.run(api.client.put_status(owner, {"cursor": "a"}))
        assert api.run(api.client.put_status(first, {"cursor": "b"}))["status"] == {"cursor": "b"}

    def test_writing_the_same_status_again_makes_no_new_version(self, api: Api, owner: Object) -> None:
        first = api.run(api.client.put_status(owner, {"cursor": "a"}))
        again = api.run(api.client.put_status(first, {"cursor": "a"}))
        assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]

    def test_a_status_written_from_the_trimmed_cache_leaves_everything_else_as_it_was(
        self, api: Api, namespace: str
    ) -> None:
        from retrainer.kube.cache import trim

        annotation = "kubectl.kubernetes.io/last-applied-configuration"
        source = sample("FeedbackSource", namespace, "annotated")
        source["metadata"]["annotations"] = {annotation: "{}", "mine": "1"}
        created = api.create(source)
        written = api.run(api.client.put_status(trim(created), {"cursor": "a"}))
        assert written["metadata"]["annotations"] == {annotation: "{}", "mine": "1"}
        assert written["spec"] == created["spec"]
        assert {entry["operation"] for entry in written["metadata"]["managedFields"]} == {"Update"}

    def test_the_status_of_what_is_gone_is_not_found(self, api: Api, namespace: str, owner: Object) -> None:
        api.run(api.client.delete(ref(owner), FEEDBACK_SOURCE))
        api.run(until_absent(api.client, FEEDBACK_SOURCE, namespace, "owner"))
        with pytest.raises((NotFound, Conflict)):
            api.run(api.client.put_status(owner, {"cursor": "a"}))

    def test_a_ledger_is_replaced_only_at_the_version_that_was_read(self, api: Api, namespace: str) -> None:
        first = api.create(config_map(namespace, "ledger", lines="1"))
        api.run(api.client.replace({**first, "data": {"lines": "2"}}))
        with pytest.raises(Conflict):
            api.run(api.client.replace({**first, "data": {"lines": "other"}}))
        assert api.get(CONFIG_MAP, namespace, "ledger")["data"] == {"lines": "2"}


class TestReading:
    def test_a_list_of_several_pages_is_complete_and_has_kinds(
        self, api: Api, namespace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client_module, "_PAGE", 3)
        names = [f"page-{number}" for number in range(10)]
        for name in names:
            api.create(sample("ABExperiment", namespace, name))
        listed = api.run(api.client.list(AB_EXPERIMENT, namespace))
        assert [obj["metadata"]["name"] for obj in listed] == names
        assert {(obj["apiVersion"], obj["kind"]) for obj in listed} == {(AB_EXPERIMENT.api_version, "ABExperiment")}

    def test_only_what_carries_our_label_is_selected(self, api: Api, namespace: str, owner: Object) -> None:
        api.create(owned(config_map(namespace, "ours"), owner))
        api.create(config_map(namespace, "users"))
        selected = api.run(api.client.list(CONFIG_MAP, namespace, "retrainer.dev/managed-by=retrainer"))
        assert [obj["metadata"]["name"] for obj in selected] == ["ours"]

    def test_what_is_absent_is_none_and_a_kind_that_is_not_served_too(self, api: Api, namespace: str) -> None:
        assert api.get(CONFIG_MAP, namespace, "absent") is None
        assert api.get(Resource("trainer.kubeflow.org/v1alpha1", "TrainJob", "trainjobs"), namespace, "x") is None

    def test_creating_what_exists_and_an_invalid_object_are_told_apart(self, api: Api, namespace: str) -> None:
        api.create(config_map(namespace, "twice"))
        with pytest.raises(AlreadyExists):
            api.create(config_map(namespace, "twice"))
        with pytest.raises(Refused, match="422 Invalid"):
            api.create(config_map(namespace, "Not_A_Name"))

    def test_an_object_of_a_namespace_that_does_not_exist_is_not_found(self, api: Api) -> None:
        with pytest.raises(NotFound):
            api.create(config_map("no-such-namespace", "x"))


class TestLease:
    SECONDS = 2

    def lease(self, client: Client, namespace: str, name: str) -> LeaderLease:
        return LeaderLease(client, namespace, "operator", name, self.SECONDS)

    def test_of_two_contenders_one_leads_and_the_other_follows_when_the_first_is_silent(
        self, api: Api, namespace: str
    ) -> None:
        async def body() -> tuple[bool, bool, float, bool]:
            other = await Client.connect(api.kubeconfig)
            try:
                first, second = self.lease(api.client, namespace, "a"), self.lease(other, namespace, "b")
                await asyncio.gather(first.acquire(), asyncio.sleep(0))
                both = (first.held, await second._try())
                loop = asyncio.get_running_loop()
                began = loop.time()
                waiting = asyncio.create_task(second.acquire())
                overlap = False
                while not waiting.done():
                    overlap = overlap or (first.held and second.held)
                    await asyncio.sleep(0.01)
                return both[0], both[1], loop.time() - began, overlap
            finally:
                await other.close()

        leads, taken, waited, overlap = api.run(body())
        assert leads and not taken and not overlap
        assert waited >= self.SECONDS
        assert api.get(LEASE, namespace, "operator")["spec"]["holderIdentity"] == "b"

    def test_a_holder_that_keeps_its_lease_keeps_others_out_and_hands_over_when_it_stops(
        self, api: Api, namespace: str
    ) -> None:
        async def body() -> tuple[bool, bool, bool]:
            first, second = self.lease(api.client, namespace, "a"), self.lease(api.client, namespace, "b")
            await first.acquire()
            keeping = asyncio.create_task(first.keep())
            waiting = asyncio.create_task(second.acquire())
            await asyncio.sleep(self.SECONDS * 1.5)
            kept = (first.held, waiting.done())
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await first.release()
            await asyncio.wait_for(waiting, self.SECONDS)
            return *kept, second.held

        assert api.run(body()) == (True, False, True)

    def test_many_contenders_at_once_make_one_leader(self, api: Api, namespace: str) -> None:
        async def body() -> list[bool]:
            contenders = [self.lease(api.client, namespace, f"c{number}") for number in range(8)]
            return list(await asyncio.gather(*(contender._try() for contender in contenders)))

        assert api.run(body()).count(True) == 1

    def test_a_leader_whose_lease_was_taken_by_force_ends_and_may_not_write(self, api: Api, namespace: str) -> None:
        async def body() -> None:
            first = self.lease(api.client, namespace, "a")
            await first.acquire()
            lease = await api.client.get(LEASE, namespace, "operator")
            assert lease is not None
            await api.client.replace({**lease, "spec": {**lease["spec"], "holderIdentity": "b"}})
            await asyncio.wait_for(first.keep(), self.SECONDS * 2)
            with pytest.raises(NotLeader):
                await first.check()

        api.run(body())


def test_a_server_that_is_not_there_is_no_answer_and_not_a_crash(tmp_path: Any) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "contexts: [{name: c, context: {cluster: c, user: u}}]\n"
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {token: t}}]\n"
    )

    async def body() -> None:
        client = await Client.connect(str(path))
        try:
            with pytest.raises(ApiError, match="NoAnswer"):
                await client.list(CONFIG_MAP, "default")
        finally:
            await client.close()

    asyncio.run(body())
