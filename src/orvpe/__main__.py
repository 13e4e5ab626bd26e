"""``python -m orvpe``, the same as ``orvpe``."""

import sys

from orvpe.cli import main

sys.exit(main())
