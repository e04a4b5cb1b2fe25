"""layerwise_adamw: AdamW with a learning rate factor for each group of layers; on PyTorch it runs as a fused kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import keras


class LayerwiseAdamW(keras.optimizers.AdamW):  # type: ignore[misc]
    """AdamW with slower learning for early, pretrained layers than for late ones.

    `rate_factors` maps the beginning of a layer's name to the factor of its learning rate. Layers that match none learn
    at the full rate. The arguments of AdamW set gradient clipping by global norm and the averaging of weights.
    Source of the factors: Howard & Ruder 2018, "Universal Language Model Fine-tuning", discriminative fine-tuning.
    """

    def __init__(self, learning_rate: Any, rate_factors: Mapping[str, float], **adamw: Any) -> None:
        super().__init__(learning_rate, **adamw)
        self._rate_factors = dict(rate_factors)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable of the network with its own learning rate."""
        super().update_step(gradient, variable, learning_rate * self._rate_factor(variable))

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        """Shrink each variable by its own learning rate × the decay."""
        # Keras would shrink all at the full rate, which pulls slow pretrained layers away from their weights.
        for variable in variables:
            shrinkage = self.learning_rate * self._rate_factor(variable) * (self.weight_decay or 0.0)
            variable.assign(variable * (1 - keras.ops.cast(shrinkage, variable.dtype)))

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Update all variables of the network; on the torch backend, with one kernel per learning rate factor."""
        if keras.backend.backend() == "torch" and trainable_variables is not None:
            self._apply_fused(grads, list(trainable_variables))
        else:
            super().apply(grads, trainable_variables)

    def _rate_factor(self, variable: Any) -> float:
        path = self._trainable_variables[self._get_variable_index(variable)].path
        return next((rate for layer, rate in self._rate_factors.items() if path.startswith(layer)), 1.0)

    def _apply_fused(self, grads: Sequence[Any], variables: list[Any]) -> None:
        torch = import_module("torch")  # not a dependency: people who train on PyTorch install it
        if not self.built:
            self.build(variables)
        if self.global_clipnorm:
            torch.nn.utils.clip_grads_with_norm_(
                [variable.value for variable in variables],
                self.global_clipnorm,
                torch.nn.utils.get_total_norm(list(grads)),
            )
        step = float(self.iterations.value) + 1
        for factor, rows in self._rows_by_factor(variables).items():
            torch._fused_adamw_(
                [variables[row].value for row in rows],
                [grads[row] for row in rows],
                [self._momentums[row].value for row in rows],
                [self._velocities[row].value for row in rows],
                [],
                [torch.tensor(step) for _ in rows],
                lr=float(self.learning_rate) * factor,
                beta1=self.beta_1,
                beta2=self.beta_2,
                weight_decay=self.weight_decay or 0.0,
                eps=self.epsilon,
                amsgrad=False,
                maximize=False,
            )
        if self.use_ema:
            averages = [average.value for average in self._model_variables_moving_average]
            momentum = self.ema_momentum if step > 1 else 0.0  # the average begins at the first step's weights
            torch._foreach_lerp_(averages, [variable.value for variable in variables], 1 - momentum)
        self._iterations.assign_add(1)

    def _rows_by_factor(self, variables: Sequence[Any]) -> dict[float, list[int]]:
        rows: dict[float, list[int]] = {}
        for row, variable in enumerate(variables):
            rows.setdefault(self._rate_factor(variable), []).append(row)
        return rows
