/**
 * The Debian packages that the suites with real peers, devices and clients need, and
 * what each is for. The only list: prepare.mjs installs from it, CONTRIBUTING.md points to it.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

export const DEBIAN_PACKAGES = {
  'libnbd-bin': 'nbdfuse, nbdinfo, nbdcopy: clients of the NBD export',
  nbdkit: 'disks that fail, lie and forget on command',
  'qemu-utils': 'qemu-io, qemu-nbd: a second family of NBD clients',
  fuse3: 'fusermount3: ends what nbdfuse mounts',
  e2fsprogs: 'ext4 on the replicated device',
  xfsprogs: 'xfs on the replicated device',
  ucarp: 'a CARP peer that is not ours',
  keepalived: 'a VRRP peer that is not ours',
  iproute2: 'ip, ss: network namespaces and addresses',
  nftables: 'partitions between namespaces',
  'iputils-arping': 'announces addresses where no raw link socket can be had',
  procps: 'ps, for the hooks and the process tests',
  psmisc: 'fuser: names who holds a mount',
  'util-linux': 'losetup, mount, unshare, nsenter',
  'zfs-fuse': 'real pools for the ZFS hook, a daemon for each node',
  postgresql: 'a real database on what fails over',
  'nginx-light': 'a real service for the generic hook',
  tgt: 'a real iSCSI target',
  'libiscsi-bin': 'iscsi-ls, iscsi-inq: an initiator in user space',
  'qemu-block-extra': 'qemu-io over iSCSI: reads and writes as an initiator',
  openssl: 'makes certificates for two nodes',
  curl: 'what the webhook notification posts with',
  shellcheck: 'checks the shipped hooks',
  chromium: 'draws the page',
};

/** What `npm run bench` needs beside a compiler's own. */
export const BENCH_PACKAGES = {
  nbdkit: 'the server of files that the local figures are compared with',
  'qemu-system-common': 'qemu-storage-daemon: a network mirror to compare with',
  'libnbd-bin': 'nbdinfo: looks at exports',
  'qemu-utils': 'qemu-img bench: a second opinion',
  fio: 'a third opinion (ioengine=nbd)',
  gcc: 'compiles the clients of the bench',
  'libc6-dev': 'headers for them',
};

/** Whether packages can be installed here: root on Debian or a child of it. */
export function canInstallPackages() {
  return process.getuid?.() === 0 && existsSync('/etc/debian_version') && existsSync('/usr/bin/apt-get');
}

/** The packages of the list that are not installed. */
export function missingPackages(list = DEBIAN_PACKAGES) {
  const names = Object.keys(list);
  const installed = new Set();
  let listing;
  try {
    listing = execFileSync('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Status}\n', ...names], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  } catch (error) {
    // Exits 1 when it knows one of the names not, and prints the others.
    listing = String(error.stdout ?? '');
  }
  for (const line of listing.split('\n')) {
    const [name, status] = line.split(' ');
    if (status === 'installed') installed.add(name);
  }
  return names.filter((name) => !installed.has(name));
}

function aptGet(...args) {
  execFileSync('apt-get', ['-qq', '-o', 'Dpkg::Use-Pty=0', '-o', 'Acquire::Retries=3', ...args], {
    // RUNLEVEL=1: packages that bring a daemon do not start it.
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 600_000,
  });
}

/** Installs what is missing. Returns the packages that could not be had. */
export function installPackages(names) {
  const install = (...wanted) => aptGet('install', '-y', '--no-install-recommends', ...wanted);
  try {
    aptGet('update');
    install(...names);
    return [];
  } catch {
    return names.filter((name) => {
      try {
        install(name);
        return false;
      } catch {
        return true;
      }
    });
  }
}
