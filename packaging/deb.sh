#!/usr/bin/env bash
# deb.sh BIN OUT: Debian packages of what was built in BIN (hdwc, hdwvm) into the folder OUT. Needs dpkg-deb; root is not needed.
#
#   hdw-compiler  hdwc          for those who write and test programs, and for build machines
#   hdw-daemon    hdwvm         for machines that serve: no compiler, units for systemd
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
version=$("$bin/hdwvm" version | awk '{print $2}')
arch=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct 2>/dev/null || echo 0)}

# depends PROGRAM: the packages of the libraries that it is linked with, as dpkg-shlibdeps finds them, else by name of the installed files.
depends() {
  local d
  if command -v dpkg-shlibdeps >/dev/null; then
    mkdir -p "$work/shlibs/debian"
    printf 'Source: hdw\n\nPackage: x\nArchitecture: any\n' >"$work/shlibs/debian/control"
    d=$(cd "$work/shlibs" && dpkg-shlibdeps --ignore-missing-info -O -e"$1" 2>/dev/null | sed -n 's/^shlibs:Depends=//p') || d=
    [[ -n $d ]] && { printf '%s' "$d"; return; }
  fi
  ldd "$1" | awk '$3 ~ /^\// {print $3}' | xargs -r -n1 readlink -f | sort -u | xargs -r dpkg-query -S 2>/dev/null | cut -d: -f1 | sort -u | paste -sd, | sed 's/,/, /g'
}

# package NAME SUMMARY DESCRIPTION PROGRAM: root/ is filled already.
package() {
  local root=$work/$1 program=$4
  install -D -m755 "$bin/$program" "$root/usr/bin/$program"
  [[ -z ${HDW_STRIP-1} ]] || strip --strip-unneeded "$root/usr/bin/$program"
  install -D -m644 "$here/../LICENSE" "$root/usr/share/doc/$1/copyright"
  install -d "$root/usr/share/man/man1" "$root/DEBIAN"
  "$here/man.py" "$bin/$program" | gzip -9n >"$root/usr/share/man/man1/$program.1.gz"
  cat >"$root/DEBIAN/control" <<CONTROL
Package: $1
Version: $version
Architecture: $arch
Maintainer: hdw developers <hdw@localhost>
Installed-Size: $(du -sk "$root" | cut -f1)
Depends: $(depends "$bin/$program"), tzdata
Section: misc
Priority: optional
Description: $2
 $3
CONTROL
  (cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | LC_ALL=C sort | xargs -r md5sum) >"$root/DEBIAN/md5sums"
  dpkg-deb --root-owner-group -Zxz -z"${HDW_XZ:-6}" --build "$root" "$out/$1_${version}_$arch.deb" >/dev/null
  echo "$out/$1_${version}_$arch.deb"
}

for doc in operations reliability security; do install -D -m644 "$here/../docs/$doc.md" "$work/hdw-daemon/usr/share/doc/hdw-daemon/$doc.md"; done
for unit in hdw.service hdw@.service; do install -D -m644 "$here/systemd/$unit" "$work/hdw-daemon/lib/systemd/system/$unit"; done
install -D -m644 "$here/systemd/hdw.tmpfiles" "$work/hdw-daemon/usr/lib/tmpfiles.d/hdw.conf"
install -D -m644 "$here/../docs/language.md" "$work/hdw-compiler/usr/share/doc/hdw-compiler/language.md"
package hdw-compiler "compiler and test runner of hdw, a workflow language for health data" "Checks, tests, formats and builds programs (hdwc). It reaches no network." hdwc
package hdw-daemon "daemon of hdw, workflows for health data" "Receives HL7 and API messages, runs workflows and delivers (hdwvm). Holds no compiler." hdwvm
