"""What parity tests share: the tensors of a fixture, and comparisons within its tolerances."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipelines.masking.plan import MaskPlan

FOLDER = Path(__file__).parents[1] / "golden"


@dataclass(frozen=True)
class Golden:
    """One fixture; its JSON says how it was made and what it holds."""

    about: dict[str, Any]
    tensors: dict[str, Tensor]

    @classmethod
    def open(cls, name: str) -> "Golden":
        """Read a fixture."""
        return cls(json.loads((FOLDER / f"{name}.json").read_text()), load_file(FOLDER / f"{name}.safetensors"))

    @property
    def tolerance(self) -> dict[str, float]:
        """How far apart two right implementations may be."""
        return dict(self.about["tolerance"]["suggested_on_cpu_fp32"])

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names begin with `prefix`, without it."""
        return {name.removeprefix(prefix): value for name, value in self.tensors.items() if name.startswith(prefix)}

    def assert_output(self, found: Tensor, name: str) -> None:
        """Compare an output."""
        torch.testing.assert_close(found, self.tensors[name], atol=self.tolerance["float_outputs_atol"], rtol=0)

    def assert_loss(self, found: Tensor, name: str) -> None:
        """Compare a loss."""
        torch.testing.assert_close(found, self.tensors[name], atol=self.tolerance["loss_atol"], rtol=0)

    def assert_gradients(
        self, network: nn.Module, name_of: Callable[[str], str | None], layout: Callable[[str, Tensor], Tensor]
    ) -> None:
        """Compare the gradients that the fixture holds in full."""
        expected = self.under("grads/")
        assert expected
        for official, gradient in expected.items():
            found = network.get_parameter(name_of(official) or official).grad
            wanted = layout(official, gradient)
            torch.testing.assert_close(found, wanted, atol=self.tolerance["grads_atol"], rtol=0, msg=official)

    def assert_gradient_norms(self, network: nn.Module, name_of: Callable[[str], str | None]) -> None:
        """Compare the norms of the gradients of all parameters, but for those that are rounding noise."""
        idle = set(self.about["parameters_without_gradient"])
        expected = {official: norm for official, norm in self.under("gradnorm/").items() if official not in idle}
        norms = {name: parameter.grad.norm() for name, parameter in network.named_parameters()}
        assert {name_of(official) for official in expected} == set(norms)
        for official, norm in expected.items():
            if official not in self.about["gradnorm_is_rounding_noise"]:
                found = norms[name_of(official) or official]
                rtol = self.tolerance["gradnorm_rtol"]
                torch.testing.assert_close(found, norm.reshape(()), rtol=rtol, atol=0, msg=official)


def plan_of_mask(mask: Tensor) -> MaskPlan:
    """Return the plan of a mask [batch, tokens], 1 where a token is hidden, as often in every row; tokens ascend."""
    order = mask.argsort(dim=1, stable=True)
    num_visible = int((mask[0] == 0).sum())
    return MaskPlan(visible=order[:, :num_visible], target=order[:, num_visible:])
