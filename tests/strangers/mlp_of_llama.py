"""The feed-forward network of Llama, from transformers, as an option of ablab."""

from dataclasses import dataclass

from experiments.parts import part


@part("ffn", "llama")
@dataclass
class Llama:
    """The feed-forward network of Llama."""

    d_ff: int = 256

    def build(self, d_model):
        from transformers.models.llama.modeling_llama import LlamaConfig, LlamaMLP

        return LlamaMLP(LlamaConfig(hidden_size=d_model, intermediate_size=self.d_ff))
