"""Parity with the official Point-MAE: every tensor of two runs of Pang-Yatian/Point-MAE at commit 7445a68.

`tests/golden/pointmae.json` (evaluation mode) and `pointmae_train.json` (training mode) say how they were made. In training the
reference embeds hidden groups too, so its batch norms see them: our parts, put together so, give its numbers (`outputs/`); our
network gives those of the reference after that is repaired (`corrected/`). The tolerances of the fixtures are 1e-5 on outputs,
5e-6 on losses, 1e-5 relative on norms of gradients, and on gradients those that their JSON says.
"""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Points
from pipelines.tokenizers.vq.groups import PointGroups, groups_as_placed
from tests.parity.golden import Golden, plan_of_mask
from trainers.content_losses import group_chamfer_l1, group_chamfer_l2
from trainers.models.group_autoencoder import GroupAutoencoder, GroupAutoencoderNetwork
from trainers.nn.gather import gather_tokens
from trainers.nn.group_parts import groups_at
from trainers.nn.network import Output
from trainers.objectives import over_tokens
from trainers.published.autoencoders import naming, our_layout, our_name

EVALUATED, TRAINED = Golden.open("pointmae"), Golden.open("pointmae_train")


@dataclass(frozen=True)
class Run:
    """Our network with golden weights, run as the reference runs: all groups are embedded, then hidden ones dropped."""

    golden: Golden
    network: GroupAutoencoderNetwork
    embedded: Tensor
    latent: Tensor
    predicted: Tensor
    wanted: Tensor
    loss: Tensor


def cloud_of(golden: Golden) -> Points:
    made = golden.about["constructor"]["config"]
    count = golden.tensors["inputs/points"].shape[1]
    return Points(count=count, groups=made["num_group"], neighbours=made["group_size"])


def network_of(golden: Golden) -> GroupAutoencoderNetwork:
    made = golden.about["constructor"]["config"]["transformer_config"]
    architecture = GroupAutoencoder(
        width=made["trans_dim"],
        depth=made["depth"],
        heads=made["num_heads"],
        decoder_depth=made["decoder_depth"],
        decoder_heads=made["decoder_num_heads"],
        drop_path=made["drop_path_rate"],
    )
    points = cloud_of(golden)
    network = architecture.build((points,), outputs={"points": Output(dim=3 * points.neighbours)})
    naming(network).load(golden.under("weights/"), network)
    return network.train(golden is TRAINED)


def given(golden: Golden) -> tuple[PointGroups, MaskPlan]:
    """The golden groups and masks."""
    groups = PointGroups(centres=golden.tensors["inputs/center"], points=golden.tensors["inputs/neighborhood"])
    return groups, plan_of_mask(golden.tensors["noise/mask"])


@pytest.fixture(scope="module", params=["evaluated", "trained"])
def run(request: pytest.FixtureRequest) -> Run:
    golden = TRAINED if request.param == "trained" else EVALUATED
    network, (groups, plan) = network_of(golden), given(golden)
    embedded = network.embed(groups.points)
    latent = network.encoder(gather_tokens(embedded, plan.visible), gather_tokens(groups.centres, plan.visible))
    predicted = network.heads["points"](network.decoder.hidden(latent, groups.centres, plan))
    wanted = groups_at(groups, plan.target).points.flatten(2)
    loss = over_tokens(group_chamfer_l2(predicted, wanted))
    loss.backward()
    return Run(golden, network, embedded.detach(), latent.detach(), predicted.detach(), wanted, loss.detach())


def in_points(values: Tensor) -> Tensor:
    return values.unflatten(-1, (-1, 3)).flatten(0, 1)


def test_every_output_of_the_fixtures_is_compared() -> None:
    always = {"group_tokens", "latent", "pred_points", "target_points", "loss", "loss_cdl1"}
    after = {f"{name}_after_{norm}" for name in ("running_mean", "running_var", "num_batches") for norm in (0, 1)}
    assert set(EVALUATED.under("outputs/")) == always
    assert set(TRAINED.under("outputs/")) == always | after
    assert set(TRAINED.under("corrected/")) == {"loss_visible_groups_only", "latent_visible_groups_only"}


def test_outputs_are_those_of_the_reference(run: Run) -> None:
    run.golden.assert_output(run.embedded, "outputs/group_tokens")
    run.golden.assert_output(run.latent, "outputs/latent")
    run.golden.assert_output(in_points(run.predicted), "outputs/pred_points")
    run.golden.assert_output(in_points(run.wanted), "outputs/target_points")


def test_losses_are_those_of_the_reference(run: Run) -> None:
    run.golden.assert_loss(run.loss, "outputs/loss")
    run.golden.assert_loss(over_tokens(group_chamfer_l1(run.predicted, run.wanted)), "outputs/loss_cdl1")


def test_gradients_are_those_of_the_reference(run: Run) -> None:
    run.golden.assert_gradients(run.network, our_name, our_layout)
    run.golden.assert_gradient_norms(run.network, our_name)


def test_averages_of_batch_norms_move_as_those_of_the_reference(run: Run) -> None:
    if run.golden is EVALUATED:
        pytest.skip("in evaluation they do not move")
    for number, norm in enumerate((run.network.embed.first[1], run.network.embed.second[1])):
        run.golden.assert_output(norm.running_mean, f"outputs/running_mean_after_{number}")
        run.golden.assert_output(norm.running_var, f"outputs/running_var_after_{number}")
        assert torch.equal(norm.num_batches_tracked, run.golden.tensors[f"outputs/num_batches_after_{number}"])


def test_the_network_itself_is_the_reference_in_evaluation() -> None:
    groups, plan = given(EVALUATED)
    predicted = network_of(EVALUATED).predict(groups, plan)["points"].detach()
    EVALUATED.assert_output(in_points(predicted), "outputs/pred_points")


def test_the_network_itself_is_the_repaired_reference_in_training() -> None:
    groups, plan = given(TRAINED)
    visible = groups_at(groups, plan.visible)
    network = network_of(TRAINED)
    latent = network.encoder(network.embed(visible.points), visible.centres)
    TRAINED.assert_output(latent.detach(), "corrected/latent_visible_groups_only")
    predicted = network_of(TRAINED).predict(groups, plan)["points"]
    loss = over_tokens(group_chamfer_l2(predicted, groups_at(groups, plan.target).points.flatten(2)))
    TRAINED.assert_loss(loss.detach(), "corrected/loss_visible_groups_only")
    assert (loss - TRAINED.tensors["outputs/loss"]).abs() > 0.05


@pytest.mark.parametrize("golden", [EVALUATED, TRAINED], ids=["evaluated", "trained"])
def test_groups_are_those_of_the_reference(golden: Golden) -> None:
    found = groups_as_placed(golden.tensors["inputs/points"], cloud_of(golden))
    golden.assert_output(found.centres, "inputs/center")
    golden.assert_output(found.points, "inputs/neighborhood")
