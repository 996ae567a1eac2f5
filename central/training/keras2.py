"""Loads TensorFlow and Keras 2, quietly and only when asked: the import takes seconds."""

from __future__ import annotations

import os
from typing import Any

from central.training.native_output import native_output_to_log


def load_keras2() -> tuple[Any, Any]:
    """The modules `tensorflow` and `tf_keras`.

    Keras 2, because only its LSTM converts to TFLite's fused kernel.
    """
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with native_output_to_log("tensorflow"):
        import tensorflow as tf
        import tf_keras
    return tf, tf_keras
