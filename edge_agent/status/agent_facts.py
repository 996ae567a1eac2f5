"""Facts of the running agent that belong to no single part: counters, states, metrics.

Only gathers; what is made of them is the reporter's, the page's and ``metrics``'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_agent.clock.keeper import ClockKeeper
from edge_agent.devices.acquisition import DevicePoller
from edge_agent.forecasting.cycle import ForecastCycle
from edge_agent.journal.journal import Journal
from edge_agent.supervision import ResourceCheck, Supervisor
from edge_agent.uplink.uplink import Uplink
from firmware_bridge import Buses
from models.contract.clock import Clock

from .alert_board import AlertBoard
from .metrics import DeviceMetrics, LineMetrics, MetricsSource, metrics_text
from .reporter import StatusReporter
from .status_file import ClockState, DeviceState


@dataclass(frozen=True)
class AgentFacts:
    """The parts of a running agent, as far as they have something to tell. Event loop only."""

    version: str
    clock: Clock
    reporter: StatusReporter
    journal: Journal
    uplink: Uplink
    clock_keeper: ClockKeeper
    cycle: ForecastCycle
    usage: ResourceCheck
    alerts: AlertBoard
    pollers: Sequence[DevicePoller]
    buses: Buses

    def clock_state(self) -> ClockState:
        """Whether the clock can be believed now."""
        period = self.clock_keeper.watch.look()
        return ClockState(period.trusted, period.reason, self.journal.held_count())

    def devices(self) -> Mapping[str, DeviceState]:
        """How each device is doing."""
        return {
            poller.driver.name: DeviceState(poller.health.state.value, poller.last_error)
            for poller in self.pollers
        }

    def counters(self) -> dict[str, int]:
        """Counters of forecasts, devices and lines, for the status."""
        counters = {"forecast_failures": self.cycle.failures}
        for poller in self.pollers:
            for name, count in vars(poller.counters).items():
                counters[f"{poller.driver.name}_{name}"] = count
        for name, bus in self.buses.all().items():
            counts = bus.counters
            counters[f"{name} utilisation_percent"] = round(100 * bus.utilisation())
            counters[f"{name} requests"] = counts.requests
            counters[f"{name} fences"] = counts.fences
            for fault, count in counts.faults.items():
                counters[f"{name} {fault}"] = count
        return counters

    def metrics(self, supervisor: Supervisor) -> str:
        """Everything as text for Prometheus."""
        snapshot = self.reporter.snapshot()
        source = MetricsSource(
            self.version,
            self.clock.now(),
            devices=[
                DeviceMetrics(one.driver.name, one.health.state.value, vars(one.counters))
                for one in self.pollers
            ],
            lines=[
                LineMetrics(
                    name,
                    counts.busy_s,
                    counts.requests,
                    counts.fences,
                    {fault.value: count for fault, count in counts.faults.items()},
                )
                for name, bus in self.buses.all().items()
                for counts in (bus.counters,)
            ],
            records=snapshot.records,
            journal=self.journal.counts(),
            uplink=self.uplink.counts(),
            connected=snapshot.connected,
            last_ack_s=snapshot.last_ack_s,
            forecast=snapshot.forecast,
            forecast_failures=self.cycle.failures,
            bundle=snapshot.status.bundle,
            clock=snapshot.clock,
            workers=supervisor.workers(),
            supervisor_gaps=supervisor.gaps,
            usage=self.usage.usage,
            ledger=snapshot.status.ledger,
            alerts_active=self.alerts.active,
        )
        return metrics_text(source)
