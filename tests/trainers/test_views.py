from pipelines.views import Extent
from trainers.views import SoundSpan


def test_spans_of_sound_lie_anywhere_in_training_and_are_the_whole_in_evaluation() -> None:
    views, extent = SoundSpan(seconds=2.0), Extent(seconds=10.0)
    chosen = [views.fresh(0, 0).choose("key", epoch=epoch, seed=0, extent=extent)[1] for epoch in range(200)]
    starts = [view.start for view in chosen]
    assert {view.seconds for view in chosen} == {2.0}
    assert 0 <= min(starts) < 0.5
    assert 7.5 < max(starts) <= 8.0
    _, still = views.still(0, 0).choose("key", epoch=0, seed=0, extent=extent)
    assert (still.start, still.seconds) == (0.0, None)
