"""``python -m qsmengine``: the command line."""

from __future__ import annotations

import sys

from qsmengine.cli.main import main

sys.exit(main())
