"""The metrics that the engine records and logs for every experiment. No torch."""

from collections.abc import Mapping

from runner.metric_names import STEP_ALONE, DivergedValue, Metric

ENGINE_METRICS: Mapping[str, Metric] = {
    "val/loss": Metric(
        DivergedValue.start,
        label="held-out loss",
        meaning=(
            "Mean loss on the held-out data, without auxiliary losses: cross-entropy for symbols, "
            "mean squared error for real values."
        ),
        unit="nats/token or nats/byte or mse",
        formula="Σ_b n_b L_b / Σ_b n_b, n_b the unpadded positions of batch b, L_b its loss",
        better="less",
        lowest=0,
    ),
    "val/nats_per_byte": Metric(
        DivergedValue.start,
        label="held-out loss per byte",
        meaning=(
            "Cross-entropy of the held-out text per byte, for bytes and for any tokens. It "
            "compares arms with different vocabularies."
        ),
        unit="nats/byte",
        formula="Σ_t L_t / B, over the held-out tokens t; B is the number of their bytes",
        better="less",
        lowest=0,
    ),
    "train/loss": Metric(
        DivergedValue.start,
        label="training loss",
        meaning=(
            "Mean loss on the batch of a training step, before the step and without auxiliary "
            "losses; translation tasks may smooth its labels."
        ),
        unit="nats/token or nats/byte or mse",
        formula="mean of the loss over the unpadded positions of the batch",
        better="less",
        lowest=0,
    ),
    "train/aux_loss": Metric(
        label="auxiliary losses of training",
        meaning=(
            "Weighted auxiliary losses of a training step, summed over the layers: balance loss "
            "and z-loss of mixtures; 0 for dense models."
        ),
        unit="1",
        formula="Σ_layers (aux_weight · N Σ_i f_i P_i + z_weight · mean_t (logsumexp x_t)²)",
        source="Switch Transformers (Fedus et al. 2021); ST-MoE (Zoph et al. 2022)",
        lowest=0,
    ),
    "train/grad_norm": Metric(
        label="gradient norm",
        meaning="Euclidean norm of the gradients of all parameters in a step, before clipping.",
        unit="1",
        formula="√(Σ_p ‖∂L/∂p‖²)",
        source="PyTorch, torch.nn.utils.clip_grad_norm_",
        lowest=0,
    ),
    "train/lr": Metric(
        DivergedValue.kept,
        label="learning rate",
        meaning="Learning rate of a training step: linear warm-up, then the chosen schedule.",
        unit="1",
        formula=(
            "lr · s/W for s ≤ W, then lr · (floor + (1 - floor) · fall(p)), "
            "p = (s - W)/(S - W); fall is 1 - p (linear) or (1 + cos πp)/2 (cosine)"
        ),
        source="runner/trial/optimizer.py",
        lowest=0,
    ),
    "train/spike_score": Metric(
        DivergedValue.fixed,
        1.0,
        label="share of training steps with a spike",
        meaning="Share of training steps whose loss is an outlier against the steps before it.",
        unit="1",
        formula=(
            "#{s : |L_s - mean| > 7 SD} / #{s judged}, mean and SD of up to 1000 finite losses "
            "before s. A step is judged after 32 others, or if L_s is not finite."
        ),
        source="OLMo 2 (2024), spike score",
        better="less",
        lowest=0,
        highest=1,
    ),
    "time/step": Metric(
        DivergedValue.kept,
        label="time of a training step",
        meaning="Median wall-clock time of a training step.",
        unit="s",
        formula="median over the steps",
        better="less",
        lowest=0,
    ),
    STEP_ALONE: Metric(
        DivergedValue.kept,
        label="time of a training step, alone",
        meaning=(
            "Median wall-clock time of a training step while no other trial uses the machine. It "
            "is measured after the training, only for claims that need it."
        ),
        unit="s",
        formula="median over the timed steps of all timing passes",
        better="less",
        lowest=0,
    ),
    "time/throughput": Metric(
        DivergedValue.kept,
        label="training speed",
        meaning="Positions that a training processes in a second, padding excluded.",
        unit="tokens/s",
        formula="unpadded positions of the first batch / time/step",
        better="greater",
        lowest=0,
    ),
    "time": Metric(
        DivergedValue.kept,
        label="time",
        meaning="Any other time that a plug-in records.",
        unit="as recorded",
        lowest=0,
    ),
    "cost/parameters": Metric(
        DivergedValue.kept,
        deterministic=True,
        label="parameters",
        meaning="Parameters of the model without embeddings and output head.",
        unit="1",
        better="less",
        lowest=0,
    ),
    "cost/active_parameters": Metric(
        DivergedValue.kept,
        deterministic=True,
        label="active parameters",
        meaning=(
            "Parameters that work on one token, without embeddings and output head: of a mixture "
            "the router and top_k experts."
        ),
        unit="1",
        better="less",
        lowest=0,
    ),
    "cost/flops_per_token": Metric(
        DivergedValue.kept,
        deterministic=True,
        label="FLOPs a token",
        meaning=(
            "Floating-point operations of a forward pass per token, of matrix products alone and "
            "without the output head."
        ),
        unit="FLOP",
        formula="2 · active weights of matrices + the two products of attention",
        source="experiments/parts/cost.py; a test compares it with torch's FLOP counter",
        better="less",
        lowest=0,
    ),
    "task": Metric(
        label="task",
        meaning="Any metric that the task of a plug-in computes on held-out data.",
        unit="1",
        formula="mean over the kept positions of the held-out data",
    ),
    "cost": Metric(
        DivergedValue.kept,
        deterministic=True,
        label="cost",
        meaning="Any other count that a plug-in records and that no seed changes.",
        unit="as recorded",
        lowest=0,
    ),
}
