"""What processes have used, of processes made for it."""

import os
import subprocess
import sys
import unittest

from benchmarks import usage

BUSY = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\nimport sys; sys.stdin.read()"


class Used(unittest.TestCase):
    def test_cpu_of_a_child_is_counted_while_it_runs(self):
        with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            self.assertGreaterEqual(usage.cpu_seconds([child.pid]), 0.25)
            self.assertIn(child.pid, usage.descendants(os.getpid()))
            self.assertNotIn(child.pid, usage.descendants(os.getpid(), without=[child.pid]))
            child.stdin.close()

    def test_what_has_ended_counts_nothing(self):
        child = subprocess.Popen(["true"])
        child.wait()
        self.assertEqual(usage.cpu_seconds([child.pid]), 0)

    def test_memory_is_that_of_the_pages_in_it(self):
        before = usage.resident_mib(os.getpid())
        block = bytearray(os.urandom(1 << 20)) * 32
        self.assertGreater(usage.resident_mib(os.getpid()) - before, 30)
        self.assertGreater(usage.proportional_mib([os.getpid()]), 30)
        del block
