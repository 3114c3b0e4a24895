"""The metrics of `experiments/norm_stability.py`. No torch.

L is the number of layers. Values before training are means over options.init_batches batches.
"""

from runner.metric_names import DivergedValue, Metric

DECLARATIONS = {
    "norm/grad_last": Metric(
        DivergedValue.kept,
        label="gradient norm of the last layer before training",
        meaning=(
            "Gradient norm of the last layer's W2, the output matrix of its feed-forward network "
            "(without one, of its attention), before training."
        ),
        unit="1",
        formula="‖∂loss/∂W2_L‖_F",
        source="Xiong et al. 2020, theorem 1",
        lowest=0,
    ),
    "norm/grad_first_last": Metric(
        DivergedValue.kept,
        label="ratio of first to last layer's gradient norm",
        meaning="Gradient norm of the first layer over that of the last layer, before training.",
        unit="1",
        formula="‖∂loss/∂θ_1‖ / ‖∂loss/∂θ_L‖, over all parameters θ_l of a layer",
        source="own definition; the theorem of Xiong et al. 2020 is about norm/grad_last instead",
        lowest=0,
    ),
    "norm/variance_last": Metric(
        DivergedValue.kept,
        label="variance after the last layer before training",
        meaning="Variance of the residual stream after the last layer, before training.",
        unit="1",
        formula="mean over unpadded positions of Var_features(x_L)",
        source="Xiong et al. 2020, hidden states at initialisation, centred and over d_model",
        lowest=0,
    ),
    "norm/grad/depth*": Metric(
        DivergedValue.kept,
        label="gradient norm before training",
        meaning="Gradient norm of all parameters of one layer, before training.",
        unit="1",
        formula="‖∂loss/∂θ_l‖",
        source="Xiong et al. 2020, gradients at initialisation",
        lowest=0,
    ),
    "norm/grad_stream": Metric(
        DivergedValue.kept,
        label="gradient norm of the residual stream before training",
        meaning=(
            "Norm of the loss's derivative by the residual stream before the first layer "
            "(layer 0) and after each layer, before training."
        ),
        unit="1",
        formula="‖∂loss/∂x_l‖",
        source="own definition",
        lowest=0,
    ),
    "norm/variance": Metric(
        DivergedValue.kept,
        label="variance of the residual stream before training",
        meaning=(
            "Variance of the residual stream before the first layer (layer 0) and after each "
            "layer, before training."
        ),
        unit="1",
        formula="mean over unpadded positions of Var_features(x_l)",
        source="Xiong et al. 2020, hidden states at initialisation, centred and over d_model",
        lowest=0,
    ),
    "norm/grad_slope": Metric(
        DivergedValue.kept,
        label="slope of the last layer's gradient over depth",
        meaning="How the last layer's gradient norm grows with depth, as an exponent.",
        unit="1",
        formula="least-squares slope of ln(norm/grad_last) against ln L",
        source="Xiong et al. 2020, theorem 1: 0 for Post-LN, -1/2 for Pre-LN",
    ),
    "norm/variance_slope": Metric(
        DivergedValue.kept,
        label="slope of the last layer's variance over depth",
        meaning="How the variance after the last layer grows with depth, as an exponent.",
        unit="1",
        formula="least-squares slope of ln(norm/variance_last) against ln L",
        source="Xiong et al. 2020, hidden states at initialisation",
    ),
    "norm/grad/layer*": Metric(
        label="gradient norm during training",
        meaning="Gradient norm of all parameters of one layer in each training step.",
        unit="1",
        formula="‖∂loss/∂θ_l‖, before clipping",
        lowest=0,
    ),
    "norm/grad_sd": Metric(
        label="spread of the gradient norm during training",
        meaning="Standard deviation of `train/grad_norm` over all training steps.",
        unit="1",
        formula="SD_s train/grad_norm(s), of the population",
        lowest=0,
    ),
    "norm/grad_max": Metric(
        label="largest gradient norm during training",
        meaning="Largest `train/grad_norm` of all training steps.",
        unit="1",
        formula="max_s train/grad_norm(s)",
        lowest=0,
    ),
    "norm/loss_last": Metric(
        DivergedValue.start,
        curve="val/loss",
        label="training loss of the last 10 steps",
        meaning="Mean training loss of the last 10 steps.",
        unit="nats/token or nats/byte or mse",
        formula="mean of the last 10 values of train/loss",
        better="less",
        lowest=0,
    ),
    "norm/diverged": Metric(
        DivergedValue.kept,
        label="share of diverged trials",
        meaning="1 for a trial that diverged, else 0.",
        unit="1",
        better="less",
        lowest=0,
        highest=1,
    ),
}
