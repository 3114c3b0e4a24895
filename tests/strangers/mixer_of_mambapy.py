"""The gated mixer of mambapy in place of attention."""

from dataclasses import dataclass

from experiments.parts import part


@part("attention", "mamba")
@dataclass
class Mamba:
    """A selective state space with a gate."""

    d_state: int = 16

    def build(self, d_model):
        from mambapy.mamba import MambaBlock, MambaConfig

        return MambaBlock(MambaConfig(d_model, n_layers=1, d_state=self.d_state))
