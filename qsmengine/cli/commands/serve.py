"""``qsmengine serve``: reconstruct images of a running scanner."""

from __future__ import annotations

from typing import Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import bounds, shared
from qsmengine.cli.options.declared import Option

_SERVER = "Server"


def serve(
    *,
    host: Annotated[
        str,
        Option(
            "--host",
            help="address to listen on; 0.0.0.0 opens the server to the network, without authentication",
            rich_help_panel=_SERVER,
            metavar="ADDRESS",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        Option(
            "--port",
            help="port; 0 takes a free one",
            rich_help_panel=_SERVER,
            metavar="N",
            callback=bounds.bounded(0, 65535),
        ),
    ] = 9002,
    idle: Annotated[
        float,
        Option(
            "--idle",
            help="seconds of silence after which a client counts as lost",
            rich_help_panel=_SERVER,
            metavar="S",
            callback=bounds.bounded(0.1, 86400),
        ),
    ] = 120.0,
    device: shared.Device = "auto",
    threads: shared.Threads = None,
    config: shared.ConfigFile = None,
    settings: shared.Settings = None,
    preset: shared.Preset = "accurate",
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Serve a scanner: magnitude and phase images in, susceptibility, R2*, uncertainty and SWI back (MRD).

    Clients speak the streaming protocol of ISMRM raw data (MRD), as Siemens Open Recon does, and are served one
    after the other, in memory. They may choose the preset and the maps. Ctrl-C or SIGTERM ends the server.
    """
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.cohort.run import stop_on_signals
    from qsmengine.scanner.parameters import Choice
    from qsmengine.scanner.server import Server, ServerSettings

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    chosen = ServerSettings(
        Choice(config, tuple(settings or ()), preset),
        choose_device(device, threads, reporter),
        host,
        port,
        idle,
    )
    with stop_on_signals() as stop, Server(chosen, reporter.say, reporter.on_step) as server:
        where = "{}:{}".format(*server.address)
        reporter.say(f"listening on {where}, {chosen.device}", address=where)
        server.serve(stop)
    reporter.say("stopped")
