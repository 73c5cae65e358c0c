/**
 * What the two configuration files say, after inheritance and for one node.
 * Made by src/config, read by everybody.
 */
import type { ChecksumKind, CompressionKind, NodeName, PolicyKind, ReplicationMode } from './roles.ts';
import type { AfterSplit } from './after-split.ts';
import type { CertificateFiles } from './certificates.ts';
import type { CarpTieBreak } from './election.ts';
import type { MonitorSettings } from './monitor.ts';
import type { Timing } from './timing.ts';
import type { TrackSettings } from './tracking.ts';

/** One resource of hast.conf as it is on this node. @see hast.conf(5), protocols: hast section 1 */
export interface ResourceSettings {
  readonly name: string;
  /** Device name under /dev/hast; defaults to `name`. */
  readonly provname: string;
  /** Path of the local component. */
  readonly local: string;
  /** Address of the peer as written, or null for `remote none`. */
  readonly remote: string | null;
  /** Address to connect from, or null. */
  readonly source: string | null;
  readonly replication: ReplicationMode;
  readonly checksum: ChecksumKind;
  readonly compression: CompressionKind;
  /** ms (hast.conf has seconds). */
  readonly timeoutMs: number;
  readonly exec: string | null;
  readonly metaflush: boolean;
  /** The other node's name: the other `on` section. Null when there is none. */
  readonly peer: NodeName | null;
}

export interface HastSettings {
  readonly node: NodeName;
  /** Path of the control socket. */
  readonly control: string;
  readonly pidfile: string;
  /** Addresses as written; never empty. */
  readonly listen: readonly string[];
  readonly resources: readonly ResourceSettings[];
}

export type AddressProtocol = 'carp' | 'vrrp2' | 'vrrp3' | 'kernel-carp' | 'keepalived' | 'external';
/** How adverts travel: `raw` is IP protocol 112; `udp` works without root, between hastate nodes only. */
export type AdvertTransport = 'auto' | 'raw' | 'udp';
/** Who puts the address on the interface. `simulated` only says so in log and status. */
export type AddressDriver = 'auto' | 'ip' | 'ifconfig' | 'simulated';

/** How addresses look on the interface. */
export interface AddressOptions {
  /** Linux, IPv4: shown behind the name of the interface; null = none. */
  readonly label: string | null;
  /** IPv6: not used as the source of what this node begins. */
  readonly deprecated: boolean;
  /** IPv6: silent until duplicate detection is through, a second or more. */
  readonly dad: boolean;
}

export interface AddressSettings {
  readonly protocol: AddressProtocol;
  /** Interface on this node. */
  readonly interface: string;
  /** 1..255: CARP's vhid or VRRP's vrid. */
  readonly vhid: number;
  /** Whole seconds, 0..255; 0 means that advskew/256 s is the interval. CARP only. */
  readonly advbase: number;
  /** 0..254 on this node. CARP only. */
  readonly advskew: number;
  /** 1..255 on this node; 255 owns the addresses. VRRP only. */
  readonly priority: number;
  /** ms between the adverts of a MASTER: VRRP's own, CARP's from advbase and advskew. */
  readonly intervalMs: number;
  /** Adverts that may be missed; CARP has 3. */
  readonly downAdverts: number;
  readonly passwordFile: string | null;
  /** CIDR, e.g. 10.0.0.1/24. */
  readonly addresses: readonly string[];
  readonly options: AddressOptions;
  /** Behind the MAC of the vhid or vrid instead of the interface's own. */
  readonly virtualMac: boolean;
  /** The words of the file that must say the same on every node of the segment, as one text. */
  readonly common: string;
  readonly transport: AdvertTransport;
  readonly driver: AddressDriver;
  /** Take over from a worse MASTER that still speaks, once it was heard for `preemptDelayMs`. */
  readonly preempt: boolean;
  readonly preemptDelayMs: number;
  /** Checksum of VRRP 3 over IPv4; `auto` does as the peer does. */
  readonly checksum: 'auto' | 'pseudo' | 'plain';
  /** Addresses of all nodes to send to instead of the multicast group; empty = the group. */
  readonly unicast: readonly string[];
  readonly tieBreak: CarpTieBreak;
  /** How replayed adverts of CARP are told. */
  readonly counter: 'none' | 'loop' | 'strict';
  /** More than `transitions` elections in `windowMs` hold this node back for `holdMs`, then twice that; 0 = never. */
  readonly flap: { readonly transitions: number; readonly windowMs: number; readonly holdMs: number };
  /** ms: no preempting so soon after losing, no listening to tracking so soon after winning. */
  readonly minBackupMs: number;
  readonly minMasterMs: number;
  /** ms that the link must be up, or down, before it counts. */
  readonly linkUpDelayMs: number;
  readonly linkDownDelayMs: number;
  readonly track: readonly TrackSettings[];
  /** Groups of the same name are MASTER together or not at all. */
  readonly syncGroup: string | null;
}

export interface GroupMonitor {
  /** Of every hook that declares `status` and is not named below; null: these are not watched. */
  readonly usual: MonitorSettings | null;
  /** Hook file name -> its own settings; null: not watched. */
  readonly hooks: Readonly<Record<string, MonitorSettings | null>>;
}

export interface GroupSettings {
  readonly name: string;
  readonly policy: PolicyKind;
  readonly prefer: NodeName | null;
  /** Whether it goes back to `prefer` by itself once that node is in sync: never, after a minute of it, at once. */
  readonly failback: 'never' | 'when-synced' | 'auto';
  /** ms that the preferred node has to be ready before. */
  readonly failbackDelayMs: number;
  /** ms after the start of the daemon that it waits to hear the other node before it leads alone. */
  readonly bootWaitMs: number;
  readonly allowLoss: boolean;
  /** What is done about a split-brain without a person. */
  readonly afterSplit: AfterSplit;
  readonly peerKind: 'hastate' | 'hastd';
  readonly resources: readonly string[];
  /** Hook file name -> its parameters, which reach the hook as HASTATE_PARAM_<NAME>. */
  readonly hooks: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** How its services are watched while it is primary. */
  readonly monitor: GroupMonitor;
  /** `auto`: attach the device when the group has hooks that need one; `none`: only export it. */
  readonly device: 'auto' | 'none' | 'nbdfuse-loop' | 'nbd-client' | 'ggatec';
  readonly address: AddressSettings | null;
}

/** How the other node is made to be certainly down. */
export interface FenceSettings {
  /** ms that a standby leaves the first shot to a primary that may live. */
  readonly delayMs: number;
  /** Those of `fence.d` that are asked, and their parameters for the other node; null: all, without any. */
  readonly hooks: Readonly<Record<string, Readonly<Record<string, string>>>> | null;
}

/** What resets this node when it cannot let go of its disks. */
export interface WatchdogSettings {
  /** ms that a group may be stuck on its way down before the watchdog is fed no more; null: for ever. */
  readonly stuckAfterMs: number | null;
  /** Written every second while all is well; null: none. */
  readonly file: string | null;
  /** Run once when the watchdog is fed no more; null: none. */
  readonly program: string | null;
}

export interface PeerAddress {
  readonly host: string;
  readonly port: number;
}

export interface HastateSettings {
  readonly node: NodeName;
  /** The other node, null when hastate.yaml names none. */
  readonly peer: { readonly name: NodeName; readonly addresses: readonly PeerAddress[] } | null;
  /** Where this node's peer channel listens. */
  readonly peerListen: readonly PeerAddress[];
  /** UDP port for adverts without raw sockets. */
  readonly advertPort: number;
  readonly secretFile: string | null;
  /** In place of a secret. */
  readonly tls: CertificateFiles | null;
  readonly insecure: boolean;
  readonly references: readonly string[];
  readonly fence: FenceSettings;
  readonly watchdog: WatchdogSettings;
  readonly timing: Timing;
  /** Bytes per second that a resync may copy, by resource; 0 or absent: without limit. */
  readonly resyncRates: Readonly<Record<string, number>>;
  readonly hooksDir: string | null;
  readonly groups: readonly GroupSettings[];
  readonly visualizer: { readonly host: string; readonly port: number } | null;
  readonly log: LogSettings;
}

export interface LogSettings {
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  /** Of standard error. `auto`: for journald when it reads there, else text. */
  readonly format: 'auto' | 'text' | 'json' | 'journald';
  /** `when-detached`: nothing is written about it, so as hastd, which logs to syslog in the background. */
  readonly syslog: SyslogSettings | 'when-detached' | null;
}

export interface SyslogSettings {
  readonly facility: SyslogFacility;
  /** syslog's number for every line, or null: each line's own. */
  readonly severity: number | null;
  readonly tag: string;
  readonly to: SyslogTarget;
}

export type SyslogTarget =
  /** Null: where this system has its socket. */
  | { readonly kind: 'local'; readonly path: string | null }
  | { readonly kind: 'udp' | 'tcp'; readonly host: string; readonly port: number };

export type SyslogFacility =
  | 'kern'
  | 'user'
  | 'mail'
  | 'daemon'
  | 'auth'
  | 'syslog'
  | 'lpr'
  | 'news'
  | 'uucp'
  | 'cron'
  | 'authpriv'
  | 'ftp'
  | `local${0 | 1 | 2 | 3 | 4 | 5 | 6 | 7}`;
