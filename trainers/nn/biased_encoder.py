"""An encoder whose tokens carry no positions: where they are is told by what is added to its attention."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from pipelines.modalities import Modality
from trainers.nn.blocks import BlockStyle, run_blocks, stack_of_blocks
from trainers.nn.gather import gather_tokens
from trainers.nn.stems import stem_for


class BiasedEncoder(nn.Module):
    """What stands at the visible places of a modality, embedded, then `depth` blocks with `heads` heads, then a norm."""

    def __init__(self, modality: Modality, *, width: int, depth: int, heads: int, style: BlockStyle) -> None:
        super().__init__()
        self.stem = stem_for(modality, width=width)
        self.blocks = stack_of_blocks(width, depth=depth, heads=heads, style=style)
        self.norm = style.norm(width)

    def forward(
        self,
        inputs: Tensor,
        index: Int[Tensor, "batch visible"],
        bias: Float[Tensor, "batch heads visible visible"],
    ) -> Float[Tensor, "batch visible width"]:
        """Return the encoded tokens at `index`, in its order; `bias` is added to the attention of every block."""
        tokens = self.stem.embedded(gather_tokens(self.stem.contents(inputs), index))
        encoded: Tensor = self.norm(run_blocks(self.blocks, tokens, bias)[-1])
        return encoded
