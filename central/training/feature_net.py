"""A small network over the trees' rows: it errs apart from the trees, and together they err less.

Decides architecture, loss and how many rows it sees. All levels come out of one network, trained on
the same target as the trees (the change of the clear-sky index from its anchor) with the pinball
loss weighted by clear-sky power. Members start from different seeds and are averaged. Keras 2
trains it; what is shipped are its numbers (``models.runtimes.feature_net``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.contract.forecast import LEVELS
from models.features.build import FeatureArray
from models.features.site import FloatArray
from models.runtimes.feature_net import LIMIT, FeatureNet, encode_net

from .dataset import Rows
from .keras2 import load_keras2


@dataclass(frozen=True)
class NetSettings:
    """Size and length of training."""

    hidden: tuple[int, ...] = (64, 32)
    members: int = 2
    epochs: int = 15
    batch: int = 512
    learning_rate: float = 2e-3
    input_dropout: float = 0.1
    patience: int = 4
    most_rows: int = 150_000
    """Of the rows drawn for the trees; more add little and cost minutes."""
    seed: int = 1


@dataclass(frozen=True, eq=False)
class TrainedNet:
    """The numbers of a trained network; ``predict`` is what the box computes."""

    mean: FloatArray
    scale: FloatArray
    layers: Sequence[tuple[FloatArray, FloatArray]]
    levels: tuple[float, ...]

    def to_bytes(self) -> bytes:
        """The file that travels."""
        return encode_net(self.mean, self.scale, self.layers, self.levels)

    def predict(self, rows: FeatureArray, chunk: int = 20_000) -> FloatArray:
        """Change from the anchor at each level for rows (n, F): shape (n, levels)."""
        arrays = {
            "format": np.ones(1, dtype=np.float32),
            "mean": self.mean.astype(np.float32),
            "scale": self.scale.astype(np.float32),
            "levels": np.asarray(self.levels),
        }
        for number, (weights, bias) in enumerate(self.layers):
            arrays |= {f"weights_{number}": weights, f"bias_{number}": bias}
        net = FeatureNet(arrays)
        parts = [net.predict(rows[at : at + chunk]) for at in range(0, len(rows), chunk)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.levels)))


def fit_feature_net(
    train: Rows,
    stop: Rows,
    settings: NetSettings,
    progress: Callable[[str], None] = lambda text: None,
    *,
    levels: Sequence[float] = LEVELS,
) -> TrainedNet:
    """Train ``settings.members`` networks, each stopped early on the ``stop`` rows."""
    tf, tf_keras = load_keras2()
    random = np.random.default_rng(settings.seed)
    train, stop = (
        _some(train, settings.most_rows, random),
        _some(stop, settings.most_rows // 4, random),
    )
    mean, scale = _standard(train.features)
    inputs, watched = _inputs(train.features, mean, scale), _inputs(stop.features, mean, scale)
    members = []
    for member in range(settings.members):
        tf_keras.utils.set_random_seed(settings.seed + member)
        model = _network(tf, tf_keras, settings, inputs.shape[1], levels, train)
        model.fit(
            inputs,
            np.stack([train.target, train.weight], axis=-1),
            validation_data=(watched, np.stack([stop.target, stop.weight], axis=-1)),
            batch_size=settings.batch,
            epochs=settings.epochs,
            verbose=0,
            callbacks=[
                tf_keras.callbacks.LambdaCallback(
                    on_epoch_end=_reporter(progress, f"net {member + 1}")
                ),
                tf_keras.callbacks.EarlyStopping(
                    patience=settings.patience, restore_best_weights=True
                ),
            ],
        )
        members.append(
            [layer.get_weights() for layer in model.layers if layer.__class__.__name__ == "Dense"]
        )
    layers = [
        (
            np.stack([member[k][0] for member in members]),
            np.stack([member[k][1] for member in members]),
        )
        for k in range(len(members[0]))
    ]
    return TrainedNet(mean, scale, layers, tuple(levels))


def _network(
    tf: Any, tf_keras: Any, settings: NetSettings, width: int, levels: Sequence[float], rows: Rows
) -> Any:
    level = tf.constant(levels, dtype=tf.float32)
    # Weights of mean 1 leave the learning rate its meaning.
    heavy = float(rows.weight.mean())

    def pinball(truth: Any, forecast: Any) -> Any:
        over = truth[:, :1] - forecast
        loss = tf.maximum(level * over, (level - 1.0) * over)
        return tf.reduce_mean(truth[:, 1:] / heavy * loss, axis=1)

    start = np.quantile(rows.target, levels)
    layers = [
        tf_keras.layers.Input(shape=(width,)),
        tf_keras.layers.Dropout(settings.input_dropout),
    ]
    layers += [tf_keras.layers.Dense(units, activation="swish") for units in settings.hidden]
    layers.append(
        tf_keras.layers.Dense(
            len(levels), bias_initializer=tf_keras.initializers.Constant(start.tolist())
        )
    )
    model = tf_keras.Sequential(layers)
    rate = tf_keras.optimizers.schedules.CosineDecay(
        settings.learning_rate, settings.epochs * max(1, len(rows) // settings.batch), alpha=0.05
    )
    model.compile(tf_keras.optimizers.Adam(rate), loss=pinball)
    return model


def _reporter(
    progress: Callable[[str], None], name: str
) -> Callable[[int, dict[str, float]], None]:
    def report(epoch: int, logs: dict[str, float]) -> None:
        progress(f"{name} epoch {epoch + 1}: loss {logs['val_loss']:.5f}")

    return report


def _some(rows: Rows, most: int, random: np.random.Generator) -> Rows:
    if len(rows) <= most:
        return rows
    chosen = np.sort(random.choice(len(rows), size=most, replace=False))
    return Rows(rows.features[chosen], rows.target[chosen], rows.weight[chosen])


def _standard(features: FeatureArray) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation of what is known of each column; 0 and 1 where nothing is."""
    known = np.isfinite(features)
    count = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, features, 0.0).astype(np.float64)
    mean = filled.sum(axis=0) / count
    spread = np.sqrt((np.where(known, filled - mean, 0.0) ** 2).sum(axis=0) / count)
    return mean.astype(np.float32).astype(np.float64), np.where(spread > 1e-6, spread, 1.0)


def _inputs(features: FeatureArray, mean: FloatArray, scale: FloatArray) -> FeatureArray:
    """What the first layer sees; the same arithmetic as ``FeatureNet.predict``."""
    values = (features - mean.astype(np.float32)) / scale.astype(np.float32)
    missing = np.isnan(values)
    values = np.clip(np.where(missing, np.float32(0.0), values), -LIMIT, LIMIT)
    joined: FeatureArray = np.concatenate([values, missing.astype(np.float32)], axis=1)
    return joined
