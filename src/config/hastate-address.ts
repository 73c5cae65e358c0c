/** The service address of a group on this node, and how its adverts are told from the other node's. */
import { electionNumbers } from './hastate-election.ts';
import { ofNode } from './hastate-nodes.ts';
import type { NodeNames } from './hastate-nodes.ts';
import { TRACK_KINDS } from './hastate-schema.ts';
import type { AddressFile, GroupFile } from './hastate-schema.ts';
import { dotted } from './yaml-source.ts';
import type { Path, YamlSource } from './yaml-source.ts';
import type { AddressSettings } from '../model/settings.ts';
import type { TrackSettings } from '../model/tracking.ts';

/** The address section at `path` for this node, or null where the group has none. */
export function addressSettings(
  source: YamlSource,
  path: Path,
  group: GroupFile,
  names: NodeNames,
): AddressSettings | null {
  const written = group.address;
  if (written === undefined) return null;
  const external = written.protocol === 'external';
  if (!external) checkNeeded(source, path, written);
  checkPassword(source, path, written);
  checkPreempt(source, path, written);
  checkVirtualMac(source, path, written);
  const interfaces = ofNode<string>(source, [...path, 'interface'], written.interface, names);
  return {
    protocol: written.protocol,
    interface: interfaces ?? '',
    // Of an external manager, or of keepalived's own configuration, no vhid concerns us.
    vhid: written.vhid ?? written.vrid ?? 0,
    ...electionNumbers(source, path, written, group.prefer, names),
    passwordFile: written['password-file'] ?? null,
    addresses: written.addresses,
    options: addressOptions(source, path, written, interfaces ?? ''),
    virtualMac: written['virtual-mac'],
    common: commonWords(written),
    transport: written.transport,
    driver: written.driver,
    preempt: written.preempt,
    preemptDelayMs: written['preempt-delay'] ?? 0,
    checksum: written.checksum ?? 'auto',
    unicast: written.unicast ?? [],
    tieBreak: written['tie-break'] ?? 'bsd',
    counter: written.counter ?? 'loop',
    flap: flapBudget(written),
    minBackupMs: written['min-hold'].backup ?? 0,
    minMasterMs: written['min-hold'].master ?? 0,
    linkUpDelayMs: written['link-delay'].up ?? 0,
    linkDownDelayMs: written['link-delay'].down ?? 0,
    track: trackList(source, path, written),
    syncGroup: written['sync-group'] ?? null,
  };
}

const DEFAULT_LABEL = 'ha';
/** IFNAMSIZ without its zero: Linux keeps labels where it keeps names. */
const LABEL_BYTES = 15;

function addressOptions(
  source: YamlSource,
  path: Path,
  written: AddressFile,
  iface: string,
): AddressSettings['options'] {
  const { deprecated, dad, label = DEFAULT_LABEL } = written;
  const wanted = label !== false && label !== 'off';
  const fits = wanted && `${iface}:${label}`.length <= LABEL_BYTES;
  if (wanted && !fits && written.label !== undefined) {
    const message = `the label ${iface}:${label} is longer than the ${LABEL_BYTES} characters that Linux keeps`;
    source.diagnostics.error(source.at([...path, 'label']), message, "use a shorter one, or 'label: off'");
  }
  for (const key of ['deprecated', 'dad'] as const) {
    if (!written[key] || written.addresses.some((cidr) => cidr.includes(':'))) continue;
    const message = `'${key}' is about IPv6 addresses, and there is none`;
    source.diagnostics.error(source.keyAt([...path, key]), message, 'remove it');
  }
  return { label: fits ? label : null, deprecated, dad };
}

/** What enters digests and clocks of other nodes, and what they compare. */
function commonWords(written: AddressFile): string {
  const { protocol, vhid, vrid, addresses, interval, advbase, advskew, priority, unicast } = written;
  const downAdverts = written['down-adverts'];
  const numbers = { interval, advbase, advskew, priority, downAdverts };
  return JSON.stringify({ protocol, id: vhid ?? vrid, addresses, ...numbers, unicast });
}

function checkVirtualMac(source: YamlSource, path: Path, written: AddressFile): void {
  const { protocol } = written;
  const ours = protocol === 'carp' || protocol === 'vrrp2' || protocol === 'vrrp3';
  if (!written['virtual-mac'] || (ours && written.driver !== 'ifconfig')) return;
  const message = ours
    ? "'virtual-mac' needs macvlan interfaces, which only Linux has: driver ifconfig cannot make one"
    : `'virtual-mac' has no meaning with protocol ${protocol}, which has its own`;
  source.diagnostics.error(source.keyAt([...path, 'virtual-mac']), message, 'remove it');
}

function flapBudget({ flap }: AddressFile): AddressSettings['flap'] {
  if (typeof flap !== 'object') return { transitions: 0, windowMs: 60_000, holdMs: 10_000 };
  return { transitions: flap.transitions, windowMs: flap.within, holdMs: flap.hold };
}

function checkNeeded(source: YamlSource, path: Path, written: AddressFile): void {
  const example = { interface: 're0', vhid: '1' } as const;
  const given = { interface: written.interface, vhid: written.vhid ?? written.vrid };
  for (const key of ['interface', 'vhid'] as const) {
    if (given[key] !== undefined || (key === 'vhid' && written.protocol === 'keepalived')) continue;
    source.diagnostics.error(
      source.keyAt(path),
      `'${dotted([...path, key])}' is missing`,
      `add '${key}: ${example[key]}'`,
    );
  }
  if (written.vhid !== undefined && written.vrid !== undefined) {
    source.diagnostics.error(source.keyAt([...path, 'vrid']), "'vrid' and 'vhid' say the same", 'remove one');
  }
  if (written.addresses.length === 0) {
    const message = `'${dotted([...path, 'addresses'])}' is missing`;
    source.diagnostics.error(source.keyAt(path), message, "add 'addresses: [192.0.2.1/24]'");
  }
}

/** What an advert proves about its sender, and where that is nothing. */
function checkPassword(source: YamlSource, path: Path, written: AddressFile): void {
  const { protocol, 'password-file': file } = written;
  if (file === undefined && protocol === 'carp') {
    const message = 'adverts without a password can be forged by anybody on the network';
    source.diagnostics.warning(
      source.keyAt(path),
      message,
      "add 'password-file: /etc/hastate.carp' (mode 0600)",
    );
  }
  if (file !== undefined && protocol === 'vrrp3') {
    const message = 'VRRP 3 has no authentication: the password is not used';
    source.diagnostics.error(source.keyAt([...path, 'password-file']), message, 'remove it');
  }
}

function checkPreempt(source: YamlSource, path: Path, written: AddressFile): void {
  if (written['preempt-delay'] === undefined || written.preempt) return;
  const message = "'preempt-delay' without 'preempt: true' delays nothing";
  source.diagnostics.error(source.keyAt([...path, 'preempt-delay']), message, "add 'preempt: true'");
}

function trackList(source: YamlSource, path: Path, written: AddressFile): TrackSettings[] {
  const names = new Set<string>();
  return written.track.flatMap((item, index) => {
    const kind = TRACK_KINDS.find((known) => item[known] !== undefined);
    if (kind === undefined) return [];
    const target = item[kind] ?? '';
    const name = `${kind} ${target}`;
    const place = source.at([...path, 'track', index]);
    if (names.has(name)) source.diagnostics.error(place, `'${name}' is tracked twice`, 'remove one');
    names.add(name);
    if (item.timeout > item.interval) {
      const message = `${name}: a check may take ${item.timeout} ms and the next begins after ${item.interval} ms`;
      source.diagnostics.error(place, message, 'make timeout at most interval');
    }
    return [
      {
        name,
        kind,
        target,
        weight: item.weight,
        intervalMs: item.interval,
        timeoutMs: item.timeout,
        rise: item.rise,
        fall: item.fall,
      },
    ];
  });
}
