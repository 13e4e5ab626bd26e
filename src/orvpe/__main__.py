"""``python -m orvpe``, the same as ``orvpe``."""

import sys

from orvpe.cli.main import main

sys.exit(main())
