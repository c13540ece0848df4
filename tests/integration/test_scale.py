#!/usr/bin/env python3
"""Small versions of the scale campaign: memory of idle connections has a bound, slow connections do not keep good ones out, a backlog outlives the process."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import scale  # noqa: E402


class Scale(unittest.TestCase):
    def test_idle_connections_have_a_bound_of_memory(self):
        r = scale.idle(600, seconds=1)
        self.assertEqual((r['connections'], r['answer']), (600, '202'))
        if not os.environ.get('HDW_SANITIZED'):  # redzones are not the daemon's
            self.assertLess(r['bytes_each'], 8 << 10)

    def test_slow_connections_leave_good_clients_alive(self):
        r = scale.loris(300, seconds=1, rounds=1)  # every good answer was 2xx, or this raises
        self.assertGreater(r['beside_per_s'], 0)

    def test_a_backlog_outlives_the_process_and_is_delivered(self):
        r = scale.backlog(400, senders=16)
        self.assertEqual(r['waiting'], 400)

    def test_parked_runs_outlive_the_process_and_go_on_from_their_step(self):
        r = scale.parked(300, senders=16)
        self.assertEqual(sum(r['states'].values()), 300)


if __name__ == '__main__':
    unittest.main(verbosity=2)
