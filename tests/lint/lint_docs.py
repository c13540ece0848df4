#!/usr/bin/env python3
"""The pages that are generated from the tables are up to date."""
import subprocess
import sys
from lintlib import ROOT

sys.exit(subprocess.run([sys.executable, '-B', 'docs/gen.py', '--check'], cwd=ROOT).returncode)
