"""``python -m tracesmith`` is the command ``tracesmith-cli``."""

import sys

from tracesmith.cli import main

sys.exit(main())
