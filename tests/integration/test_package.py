#!/usr/bin/env python3
"""The Debian packages: they are built from what was built, their programs run from where they are unpacked, and the units are as tight as promised."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from rig import BIN

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')


class Package(unittest.TestCase):
    @unittest.skipUnless(shutil.which('dpkg-deb') and shutil.which('xz'), 'no dpkg-deb here')
    def test_packages_unpack_and_run(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([os.path.join(ROOT, 'packaging', 'deb.sh'), BIN, folder], capture_output=True, text=True, timeout=240, env=dict(os.environ, HDW_STRIP='', HDW_XZ='0'))
            self.assertEqual(done.returncode, 0, done.stderr)
            files = sorted(os.listdir(folder))
            self.assertEqual([f.split('_')[0] for f in files], ['hdw-compiler', 'hdw-daemon'])
            root = os.path.join(folder, 'root')
            for f in files:
                subprocess.run(['dpkg', '-x', os.path.join(folder, f), root], check=True, timeout=60)
                depends = subprocess.run(['dpkg-deb', '-f', os.path.join(folder, f), 'Depends'], capture_output=True, text=True, check=True).stdout
                self.assertIn('libc6', depends)
            run = lambda *a: subprocess.run([os.path.join(root, 'usr', 'bin', a[0]), *a[1:]], capture_output=True, text=True, timeout=60)
            self.assertIn('hdwc', run('hdwc', '--help').stdout)
            version = run('hdwvm', '--version')
            self.assertEqual((version.returncode, bool(re.match(r'hdwvm \d+\.\d+\.\d+', version.stdout))), (0, True), version.stderr)
            for path in ('lib/systemd/system/hdw.service', 'lib/systemd/system/hdw@.service', 'usr/share/man/man1/hdwvm.1.gz', 'usr/share/man/man1/hdwc.1.gz'):
                self.assertTrue(os.path.exists(os.path.join(root, path)), path)
            daemon = subprocess.run(['dpkg-deb', '-c', os.path.join(folder, files[1])], capture_output=True, text=True, check=True).stdout
            self.assertNotIn('hdwc', daemon)

    @unittest.skipUnless(shutil.which('systemd-analyze'), 'no systemd-analyze here')
    def test_units_are_exposed_by_at_most_one_and_a_half(self):
        for unit in ('hdw.service', 'hdw@.service'):
            done = subprocess.run(['systemd-analyze', 'security', '--offline=yes', '--no-pager', os.path.join(ROOT, 'packaging', 'systemd', unit)], capture_output=True, text=True, timeout=60)
            score = re.search(r'Overall exposure level for \S+: ([\d.]+)', done.stdout)
            self.assertTrue(score, done.stdout[-300:] + done.stderr[-300:])
            self.assertLessEqual(float(score[1]), 1.5, unit)


if __name__ == '__main__':
    unittest.main(verbosity=2)
