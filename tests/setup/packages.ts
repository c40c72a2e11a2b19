/** The Debian packages that the tests use. Installed by the test command itself where it may (root on Debian). */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { program } from '../support/component.ts'

const wanted: readonly Readonly<{ package: string; found: () => unknown }>[] = [
  { package: 'bubblewrap', found: () => program('bwrap') },
  { package: 'chromium', found: () => program('chromium') },
  { package: 'tigervnc-standalone-server', found: () => program('Xvnc') },
  { package: 'xfce4-session', found: () => program('xfce4-session') },
  { package: 'xfwm4', found: () => program('xfwm4') },
  { package: 'xfce4-panel', found: () => program('xfce4-panel') },
  { package: 'xfdesktop4', found: () => program('xfdesktop') },
  { package: 'xfce4-settings', found: () => program('xfsettingsd') },
  { package: 'xfce4-terminal', found: () => program('xfce4-terminal') },
  { package: 'exo-utils', found: () => program('exo-open') },
  { package: 'dbus-daemon', found: () => program('dbus-run-session') },
  { package: 'dbus-x11', found: () => program('dbus-launch') },
  { package: 'x11-xkb-utils', found: () => program('setxkbmap') },
  { package: 'adwaita-icon-theme', found: () => existsSync('/usr/share/icons/Adwaita/index.theme') },
  { package: 'fonts-dejavu-core', found: () => existsSync('/usr/share/fonts/truetype/dejavu') },
  { package: 'libgl1-mesa-dri', found: () => existsSync('/usr/lib/x86_64-linux-gnu/dri/swrast_dri.so') },
  { package: 'mesa-utils', found: () => program('glxgears') },
  { package: 'postgresql-15', found: () => existsSync('/usr/lib/postgresql/15/bin/initdb') },
  { package: 'nginx-light', found: () => program('nginx') },
  { package: 'debootstrap', found: () => program('debootstrap') },
  { package: 'slurmctld', found: () => program('slurmctld') },
  { package: 'slurmd', found: () => program('slurmd') },
  { package: 'slurmdbd', found: () => program('slurmdbd') },
  { package: 'slurmrestd', found: () => program('slurmrestd') },
  { package: 'slurm-client', found: () => program('squeue') },
  { package: 'slurm-wlm-basic-plugins', found: () => existsSync(slurmPlugin('accounting_storage_slurmdbd')) },
  { package: 'slurm-wlm-jwt-plugin', found: () => existsSync(slurmPlugin('auth_jwt')) },
  { package: 'munge', found: () => program('munged') },
  { package: 'mariadb-server', found: () => program('mariadbd') },
  { package: 'charliecloud-runtime', found: () => program('ch-run') },
  { package: 'gridengine-master', found: () => existsSync('/usr/lib/gridengine/sge_qmaster') },
  { package: 'gridengine-exec', found: () => existsSync('/usr/lib/gridengine/sge_execd') },
  { package: 'gridengine-client', found: () => existsSync('/usr/lib/gridengine/qsub') },
  { package: 'sudo', found: () => program('sudo') },
  { package: 'containerd', found: () => program('containerd') },
  { package: 'slapd', found: () => program('slapd') },
  { package: 'krb5-kdc', found: () => program('krb5kdc') },
  { package: 'krb5-admin-server', found: () => program('kadmin.local') },
  { package: 'krb5-user', found: () => program('kinit') },
  { package: 'runc', found: () => program('runc') },
  { package: 'containernetworking-plugins', found: () => existsSync('/usr/lib/cni/bridge') },
  { package: 'openjdk-17-jre-headless', found: () => program('java') },
  { package: 'maven', found: () => program('mvn') },
  { package: 'unzip', found: () => program('unzip') },
  { package: 'docker.io', found: () => program('dockerd') },
  { package: 'docker-registry', found: () => program('docker-registry') },
  { package: 'busybox-static', found: () => program('busybox') },
  { package: 'iproute2', found: () => program('ip') },
  { package: 'nfs-ganesha', found: () => program('ganesha.nfsd') },
  { package: 'nfs-ganesha-vfs', found: () => existsSync('/usr/lib/x86_64-linux-gnu/ganesha/libfsalvfs.so') },
  { package: 'nfs-common', found: () => program('mount.nfs4') },
  { package: 'user-mode-linux', found: () => program('linux.uml') },
  { package: 'kmod', found: () => program('modprobe') },
  { package: 'nftables', found: () => existsSync('/usr/sbin/nft') },
  { package: 'iptables', found: () => program('iptables') },
]

function slurmPlugin(name: string): string {
  return `/usr/lib/x86_64-linux-gnu/slurm-wlm/${name}.so`
}

/** Says what is missing and how to get it, or gets it. Never fails: a test that needs it will say so. */
export function installPackages(say: (line: string) => void): void {
  const missing = wanted.filter(({ found }) => !found()).map((entry) => entry.package)
  if (missing.length === 0) return
  const install = ['install', '-y', '--no-install-recommends', ...missing]
  if (process.getuid?.() !== 0 || program('apt-get') === undefined) {
    say(`missing for some tests: ${missing.join(' ')}; get them with: sudo apt-get ${install.join(' ')}`)
    return
  }
  say(`installing ${missing.join(' ')} …`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  for (const args of [['update'], install]) {
    const done = spawnSync('apt-get', args, { env, stdio: ['ignore', 'ignore', 'pipe'], timeout: 900_000 })
    if (done.status !== 0) say(`apt-get ${args[0]} failed: ${String(done.stderr).trim().slice(-500)}`)
  }
}
