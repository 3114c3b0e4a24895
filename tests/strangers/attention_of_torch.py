"""The attention of torch itself, nn.MultiheadAttention, as an option of ablab."""

from experiments.parts import part


@part("attention", "torch_attention")
class TorchAttention:
    """Multi-head attention of torch with a causal mask."""

    def build(self, d_model):
        from torch import nn

        class Causal(nn.MultiheadAttention):
            def forward(self, x):
                mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], x.device)
                return super().forward(x, x, x, attn_mask=mask, is_causal=True)[0]

        return Causal(d_model, 4, batch_first=True)
