"""The contract of all traffic providers on a real API server, with the real CRDs of Istio and KServe."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from integration.routing_bench import Api, RealBench, install_everything, until
from routing_contract import OWNED, TRAFFIC, RoutingContract, observed, routing, seen, shift

from devcluster.cluster import Cluster
from retrainer.api.v1alpha1.traffic import Traffic
from retrainer.kube.errors import Conflict
from retrainer.kube.resources import AB_EXPERIMENT, INFERENCE_SERVICE
from retrainer.plan import Object, Ref

BenchFor = Callable[..., RealBench]


@pytest.fixture(scope="module")
def api(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    install_everything(cluster, tmp_path_factory.mktemp("crds"))
    opened = Api(cluster)
    yield opened
    opened.close()


@pytest.fixture
def bench_for(api: Api) -> Iterator[BenchFor]:
    made: list[RealBench] = []

    def make(name: str, unit: str = "Request") -> RealBench:
        made.append(RealBench.of(api, name, unit))
        return made[-1]

    yield make
    for bench in made:
        bench.remove()


class TestOnTheRealApiServer(RoutingContract):
    """Every provider, in both units."""


@pytest.mark.parametrize("case", OWNED, ids="-".join)
def test_what_the_experiment_owns_goes_with_it(bench_for: BenchFor, api: Api, case: tuple[str, str]) -> None:
    bench = bench_for(*case)
    shift(bench, 5)
    refs = routing(bench.experiment).refs
    assert all(bench.read(ref) for ref in refs)
    api.run(api.client.delete(Ref(AB_EXPERIMENT.api_version, "ABExperiment", bench.namespace, "x"), AB_EXPERIMENT))
    until(lambda: all(bench.read(ref) is None for ref in refs))


def test_an_inference_service_outlives_the_experiment_as_it_was_left(bench_for: BenchFor, api: Api) -> None:
    bench = bench_for("inferenceService", "User")
    shift(bench, 5)
    isvc, published = routing(bench.experiment).refs
    api.run(api.client.delete(Ref(AB_EXPERIMENT.api_version, "ABExperiment", bench.namespace, "x"), AB_EXPERIMENT))
    until(lambda: bench.read(published) is None)
    left = bench.read(isvc)
    assert left is not None
    assert left["spec"]["predictor"]["canaryTrafficPercent"] == 5
    assert "deletionTimestamp" not in left["metadata"]


def test_the_weight_of_an_inference_service_is_managed_by_us_and_nothing_else(bench_for: BenchFor) -> None:
    bench = bench_for("inferenceService")
    shift(bench, 5)
    isvc = bench.read(routing(bench.experiment).refs[0])
    assert isvc is not None
    ours = [e for e in isvc["metadata"]["managedFields"] if e["manager"] == "retrainer" and "subresource" not in e]
    fields = {str(e["fieldsV1"]) for e in ours if "f:canaryTrafficPercent" in str(e["fieldsV1"])}
    assert fields, "a merge patch makes us the manager of what it changed"


def test_a_patch_meant_for_another_inference_service_of_the_name_is_refused(bench_for: BenchFor, api: Api) -> None:
    bench = bench_for("inferenceService")
    carriers = routing(bench.experiment)
    stale = carriers.change(seen(bench, carriers), 5)
    ref = carriers.refs[0]
    api.run(api.client.delete(ref, INFERENCE_SERVICE))
    until(lambda: bench.read(ref) is None)
    bench.create(_plain(ref))
    with pytest.raises(Conflict):
        bench.carry_out(stale)
    now = bench.read(ref)
    assert now is not None and "canaryTrafficPercent" not in now["spec"]["predictor"]


def test_a_raise_meant_for_an_earlier_version_is_refused_but_a_stop_is_not(bench_for: BenchFor) -> None:
    bench = bench_for("inferenceService")
    shift(bench, 5)
    carriers = routing(bench.experiment)
    raise_it, stop_it = (carriers.change(seen(bench, carriers), weight) for weight in (25, 0))
    bench.edit(carriers.refs[0], lambda o: o["spec"]["predictor"]["model"].update(storageUri="s3://models/tutor/5"))
    with pytest.raises(Conflict):
        bench.carry_out(raise_it)
    bench.carry_out(stop_it)
    bench.others()
    assert observed(bench).carries(0)


def test_a_route_to_a_service_that_is_missing_is_refused_by_the_gateway_and_not_believed(
    bench_for: BenchFor, api: Api
) -> None:
    bench = bench_for("httpRoute")
    api.run(api.client._json("DELETE", f"/api/v1/namespaces/{bench.namespace}/services/tutor-r4"))
    shift(bench, 0)
    assert observed(bench).carries(0)
    shift(bench, 5)
    state = observed(bench)
    assert not state.carries(5) and not state.resolved and state.refused
    assert "BackendNotFound" in state.message
    shift(bench, 0)
    assert observed(bench).carries(0)


def _plain(ref: Ref) -> Object:
    model = {"modelFormat": {"name": "sklearn"}}
    return {
        "apiVersion": ref.api_version,
        "kind": ref.kind,
        "metadata": {"name": ref.name},
        "spec": {"predictor": {"model": model}},
    }


def test_every_provider_of_the_api_is_in_the_contract() -> None:
    fields = {field.alias or name for name, field in Traffic.model_fields.items()}
    assert {_camel(name) for name in fields} - {"policyRef"} == set(TRAFFIC)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
