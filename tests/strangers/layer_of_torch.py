"""A whole encoder layer of torch, which looks at later tokens and is refused."""

from experiments.parts import part


@part("attention", "torch_layer")
class TorchLayer:
    """An encoder layer of torch."""

    def build(self, d_model):
        from torch import nn

        return nn.TransformerEncoderLayer(d_model, 4, batch_first=True)
