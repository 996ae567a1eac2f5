"""The LSTM: quantiles of the clear-sky index, hour by hour, from the last day of measurements.

Keras 2 (``tf_keras``), because only its LSTM converts to the fused int8 kernel (Keras 3 unrolls it
or crashes the converter). Orientation, time of day and season reach it by the clear-sky channel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.contract.forecast import LEVELS
from models.features.spec import KNOTS, WINDOW_CHANNELS, WINDOW_STEPS

from .dataset import Windows
from .keras2 import load_keras2


@dataclass(frozen=True)
class LstmSettings:
    """Size and length of training."""

    units: int = 48
    epochs: int = 20
    batch: int = 64
    learning_rate: float = 2e-3
    patience: int = 4
    seed: int = 1


def fit_lstm(
    train: Windows,
    stop: Windows,
    settings: LstmSettings,
    progress: Callable[[str], None] = lambda text: None,
) -> Any:
    """A trained ``tf_keras.Model``: (batch, WINDOW_STEPS, C) -> (batch, KNOTS * levels)."""
    tf, tf_keras = load_keras2()
    tf_keras.utils.set_random_seed(settings.seed)
    levels = tf.constant(LEVELS, dtype=tf.float32)

    def pinball(truth: Any, forecast: Any) -> Any:
        # truth carries the index and its weight side by side: (batch, KNOTS, 2)
        index, weight = truth[:, :, :1], truth[:, :, 1:]
        over = index - tf.reshape(forecast, (-1, KNOTS, len(LEVELS)))
        return tf.reduce_mean(
            weight * tf.maximum(levels * over, (levels - 1.0) * over), axis=(1, 2)
        )

    model = tf_keras.Sequential(
        [
            tf_keras.layers.Input(shape=(WINDOW_STEPS, len(WINDOW_CHANNELS))),
            tf_keras.layers.LSTM(settings.units),
            tf_keras.layers.Dense(settings.units, activation="relu"),
            tf_keras.layers.Dense(
                KNOTS * len(LEVELS),
                bias_initializer=tf_keras.initializers.Constant(np.tile(LEVELS, KNOTS)),
            ),
        ]
    )
    model.compile(tf_keras.optimizers.Adam(settings.learning_rate), loss=pinball)

    def report(epoch: int, logs: dict[str, float]) -> None:
        progress(f"lstm epoch {epoch + 1}: loss {logs['val_loss']:.5f}")

    model.fit(
        train.past,
        np.stack([train.target, train.weight], axis=-1),
        validation_data=(stop.past, np.stack([stop.target, stop.weight], axis=-1)),
        batch_size=settings.batch,
        epochs=settings.epochs,
        verbose=0,
        callbacks=[
            tf_keras.callbacks.LambdaCallback(on_epoch_end=report),
            tf_keras.callbacks.EarlyStopping(patience=settings.patience, restore_best_weights=True),
        ],
    )
    return model
