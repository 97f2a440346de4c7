"""Policies by name, as stored targets write them down."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from pipelines.views.colours import ColourJitter
from pipelines.views.crops import CenterCrop, MultiScaleCrop, RandomResizedCrop
from pipelines.views.moments import CentreClip, RandomClip, RandomFrames, RandomSpan, UniformFrames, WholeSpan
from shards.errors import SettingsError, did_you_mean

VIEW_POLICIES: Mapping[str, type[Any]] = {
    policy.__name__: policy for policy in (CenterCrop, RandomResizedCrop, MultiScaleCrop, ColourJitter)
}
TIME_POLICIES: Mapping[str, type[Any]] = {
    policy.__name__: policy for policy in (RandomClip, CentreClip, UniformFrames, RandomFrames, RandomSpan, WholeSpan)
}
"""The policies that stored targets may name."""


def policy_to_json(policy: Any) -> dict[str, Any]:  # noqa: ANN401 - a view policy, a time policy or None
    """Return a policy as JSON values: its name, and its parameters, which may be policies again; null for none."""
    if policy is None:
        return {"policy": None, "parameters": {}}
    parameters = {field.name: _value_to_json(getattr(policy, field.name)) for field in fields(policy)}
    return {"policy": type(policy).__name__, "parameters": parameters}


def policy_from_json(data: Mapping[str, Any], known: Mapping[str, type[Any]]) -> Any:  # noqa: ANN401 - as `known` says
    """Return the policy that `policy_to_json` wrote, one of `known`, or None.

    Raises:
        SettingsError: The policy, or one of its parameters, is unknown or missing.
    """
    require_names("view policy", data, ("policy", "parameters"))
    name = data["policy"]
    if name is None:
        return None
    if name not in known:
        raise SettingsError(
            f"The view set names the policy '{name}', which this version does not know; it knows "
            f"{', '.join(known)}.{did_you_mean(name, known)}"
        )
    policy = known[name]
    require_names(f"view policy {name}", data["parameters"], [field.name for field in fields(policy)])
    return policy(**{name: _value_from_json(value, known) for name, value in data["parameters"].items()})


def require_names(what: str, found: Mapping[str, Any], wanted: Sequence[str], *, may_have: Sequence[str] = ()) -> None:
    """Raise SettingsError unless `found` has exactly the names `wanted`, and perhaps some of `may_have`."""
    known = (*wanted, *may_have)
    for name in found:
        if name not in known:
            raise SettingsError(f"The {what} has an unknown entry '{name}'.{did_you_mean(name, known)}")
    missing = [name for name in wanted if name not in found]
    if missing:
        raise SettingsError(f"The {what} lacks {', '.join(missing)}; it has {', '.join(found) or 'nothing'}.")


def _value_to_json(value: Any) -> Any:  # noqa: ANN401 - any parameter
    if is_dataclass(value):
        return policy_to_json(value)
    return list(value) if isinstance(value, tuple) else value


def _value_from_json(value: Any, known: Mapping[str, type[Any]]) -> Any:  # noqa: ANN401 - any parameter
    if isinstance(value, Mapping):
        return policy_from_json(value, known)
    return tuple(value) if isinstance(value, list) else value
