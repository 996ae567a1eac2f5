"""Registry names of the models of a bundle: the same in MLflow, in manifests and on the box."""

from __future__ import annotations

GENERATION_TREES = "solar_generation_xgboost"
GENERATION_NEAR = "solar_generation_near_xgboost"
"""Trees of the first hour, beside those of all leads; they have a say there only."""
GENERATION_LSTM = "solar_generation_lstm"
GENERATION_NET = "solar_generation_net"
"""A network over the trees' rows; earns its place by its share of the blend."""
DEMAND = "demand_forecast"
ANOMALY = "anomaly_detection"
RISK = "risk_scoring"

MODELS: tuple[str, ...] = (
    GENERATION_LSTM,
    GENERATION_TREES,
    GENERATION_NEAR,
    GENERATION_NET,
    DEMAND,
    ANOMALY,
    RISK,
)
"""All of them. A bundle holds the generation's trees at least."""
