"""The resources we touch, and their paths in the API."""

from __future__ import annotations

from dataclasses import dataclass

from retrainer.api.v1alpha1 import KINDS
from retrainer.plan import Object


@dataclass(frozen=True)
class Resource:
    """One kind of object as the API server serves it."""

    api_version: str
    kind: str
    plural: str

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        return self.api_version.rpartition("/")[2]

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of the collection, of one object, or of a subresource of it."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"
        parts = [root]
        if namespace is not None:
            parts.append(f"namespaces/{namespace}")
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        if subresource is not None:
            parts.append(subresource)
        return "/".join(parts)


CONFIG_MAP = Resource("v1", "ConfigMap", "configmaps")
DEPLOYMENT = Resource("apps/v1", "Deployment", "deployments")
ENDPOINT_SLICE = Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
EVENT = Resource("v1", "Event", "events")
HTTP_ROUTE = Resource("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
INFERENCE_SERVICE = Resource("serving.kserve.io/v1beta1", "InferenceService", "inferenceservices")
JOB = Resource("batch/v1", "Job", "jobs")
LEASE = Resource("coordination.k8s.io/v1", "Lease", "leases")
POD = Resource("v1", "Pod", "pods")
POD_TEMPLATE = Resource("v1", "PodTemplate", "podtemplates")
SECRET = Resource("v1", "Secret", "secrets")
SERVICE = Resource("v1", "Service", "services")
VIRTUAL_SERVICE = Resource("networking.istio.io/v1", "VirtualService", "virtualservices")

FEEDBACK_SOURCE, RETRAIN_POLICY, TRAINING_RUN, AB_EXPERIMENT = (
    Resource(kind.api_version, kind.kind, kind.plural) for kind in KINDS
)

_BY_KIND = {
    (resource.api_version, resource.kind): resource
    for resource in (
        CONFIG_MAP,
        DEPLOYMENT,
        ENDPOINT_SLICE,
        EVENT,
        HTTP_ROUTE,
        INFERENCE_SERVICE,
        JOB,
        LEASE,
        POD,
        POD_TEMPLATE,
        SECRET,
        SERVICE,
        VIRTUAL_SERVICE,
        FEEDBACK_SOURCE,
        RETRAIN_POLICY,
        TRAINING_RUN,
        AB_EXPERIMENT,
    )
}


def resource_of(api_version: str, kind: str) -> Resource:
    """The resource that serves `kind`; raises KeyError for a kind we never touch."""
    return _BY_KIND[api_version, kind]


def resource_of_object(obj: Object) -> Resource:
    """The resource that serves this object."""
    return resource_of(obj["apiVersion"], obj["kind"])
