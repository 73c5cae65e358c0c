/** What hast.conf says for one node: inheritance, defaults and all that must be there. */
import { HAST_PORT, parseHastAddress } from './addresses.ts';
import { DiagnosticList } from './diagnostics.ts';
import type { Diagnostic, Position } from './diagnostics.ts';
import type { HastConfTree, NodeSection, ResourceSection, Statement } from './hast-conf-parser.ts';
import { acceptableNames, isMe } from './identity.ts';
import type { Identity } from './identity.ts';
import type { ChecksumKind, CompressionKind, ReplicationMode } from '../model/roles.ts';
import type { HastSettings, ResourceSettings } from '../model/settings.ts';

export interface ResolveOptions {
  /** Which `on` sections are ours; left out: those that mean `identity`. */
  readonly node?: string | undefined;
  readonly identity: Identity;
  readonly onWarning?: ((warning: Diagnostic) => void) | undefined;
}

const MAX_TIMEOUT_S = 2_147_483;
const MAX_NAME = 254;
const MAX_PATH = 1023;

/**
 * Applies inheritance (node section, then resource, then top level, then default) for one node.
 * @throws ConfigFileError `config-invalid` with every fault
 */
export function resolveHastConf(tree: HastConfTree, options: ResolveOptions): HastSettings {
  const resolver = new Resolver(tree, options);
  const settings = resolver.settings();
  for (const warning of resolver.diagnostics.warnings) options.onWarning?.(warning);
  resolver.diagnostics.throwIfErrors();
  return settings;
}

class Resolver {
  readonly diagnostics: DiagnosticList;
  private readonly tree: HastConfTree;
  private readonly mine: (section: NodeSection) => boolean;
  private readonly names: readonly string[];

  constructor(tree: HastConfTree, { node, identity }: ResolveOptions) {
    this.tree = tree;
    this.diagnostics = new DiagnosticList(tree.file);
    this.mine = ({ name }) => (node === undefined ? isMe(name, identity) : name === node);
    this.names = node === undefined ? acceptableNames(identity) : [node];
  }

  settings(): HastSettings {
    const { tree } = this;
    const own = tree.nodes.filter(this.mine).flatMap((section) => section.statements);
    const all = [...tree.statements, ...own];
    const first = new Map<string, Position>();
    const resources: ResourceSettings[] = [];
    for (const section of tree.resources) {
      const earlier = first.get(section.name);
      if (earlier === undefined) first.set(section.name, section.at);
      else {
        const message = `resource ${section.name} is configured more than once, first in line ${earlier.line}`;
        this.diagnostics.error(section.at, message, 'rename or remove one of them');
      }
      resources.push(this.resource(section));
    }
    const listen = all.filter(({ keyword }) => keyword === 'listen');
    for (const statement of listen) this.address(statement, HAST_PORT);
    this.timeout(last(all, 'timeout'));
    return {
      node: this.nodeName(),
      control: this.control(last(all, 'control')),
      pidfile: this.text(last(all, 'pidfile'), MAX_PATH) ?? '/var/run/hastd.pid',
      listen:
        listen.length > 0
          ? listen.map(({ value }) => value)
          : [`tcp4://0.0.0.0:${HAST_PORT}`, `tcp6://[::]:${HAST_PORT}`],
      resources,
    };
  }

  private nodeName(): string {
    const sections = [...this.tree.resources.flatMap(({ nodes }) => nodes), ...this.tree.nodes];
    return sections.find(this.mine)?.name ?? this.names[0] ?? 'localhost';
  }

  private resource(section: ResourceSection): ResourceSettings {
    const { name, at, statements } = section;
    if (Buffer.byteLength(name) > MAX_NAME) {
      const message = `the resource's name has ${name.length} characters`;
      this.diagnostics.error(at, message, `use at most ${MAX_NAME}`);
    }
    const nodes = section.nodes.filter(this.mine);
    const node = nodes.flatMap((own) => own.statements);
    const pick = (keyword: string): Statement | undefined =>
      last(node, keyword) ?? last(statements, keyword) ?? last(this.tree.statements, keyword);
    const local = this.text(pick('local'), MAX_PATH);
    const remote = last(node, 'remote');
    const source = last(node, 'source');
    const [own] = nodes;
    if (own === undefined) this.noSection(section);
    else this.required(section, own, local, remote);
    if (remote !== undefined && remote.value !== 'none') this.address(remote, HAST_PORT);
    if (source !== undefined) this.address(source, 0);
    return {
      name,
      provname: this.text(pick('name'), MAX_NAME) ?? name,
      local: local ?? '',
      remote: remote === undefined || remote.value === 'none' ? null : remote.value,
      source: source?.value ?? null,
      // The parser let nothing but these words pass.
      replication: (pick('replication')?.value ?? 'memsync') as ReplicationMode,
      checksum: (pick('checksum')?.value ?? 'none') as ChecksumKind,
      compression: (pick('compression')?.value ?? 'hole') as CompressionKind,
      timeoutMs: this.timeout(pick('timeout')),
      exec: this.text(pick('exec'), MAX_PATH),
      metaflush: pick('metaflush')?.value !== 'off',
      peer: this.peer(section),
    };
  }

  private noSection({ name, at, nodes }: ResourceSection): void {
    const acceptable = this.names.join(', ');
    const there = nodes.length === 0 ? 'none' : nodes.map((node) => node.name).join(', ');
    this.diagnostics.error(
      at,
      `resource ${name} has no 'on' section for this node (acceptable node names: ${acceptable}; sections: ${there})`,
      `add 'on ${this.names[0] ?? 'NODE'} { ... }', or say with -n which section is this node's`,
    );
  }

  private required(
    { name, at }: ResourceSection,
    own: NodeSection,
    local: string | null,
    remote: Statement | undefined,
  ): void {
    if (local === null) {
      const hint = `add 'local /dev/DISK' to it or to its section 'on ${own.name}'`;
      this.diagnostics.error(at, `resource ${name} has no path to its local component`, hint);
    }
    if (remote === undefined) {
      const message = `resource ${name} has no remote address in its section 'on ${own.name}'`;
      this.diagnostics.error(own.at, message, "add 'remote ADDRESS' of the other node, or 'remote none'");
    }
  }

  private peer({ name, at, nodes }: ResourceSection): string | null {
    const others = new Set(nodes.filter((node) => !this.mine(node)).map((node) => node.name));
    // Without a section of our own the missing section is what is wrong, and that is said.
    if (others.size === nodes.length) return null;
    if (others.size > 1) {
      const message = `resource ${name} has 'on' sections for more than one other node: ${[...others].join(', ')}`;
      this.diagnostics.warning(
        at,
        message,
        'only two nodes can share a resource; which is the peer is unknown',
      );
      return null;
    }
    return [...others][0] ?? null;
  }

  private timeout(statement: Statement | undefined): number {
    if (statement === undefined) return 20_000;
    const seconds = Number(statement.value);
    if (seconds < 1) {
      this.diagnostics.error(statement.valueAt, "'timeout' is zero", 'write a number of seconds, e.g. 20');
    } else if (seconds > MAX_TIMEOUT_S) {
      const message = `'timeout' of ${statement.value} seconds is too long`;
      this.diagnostics.error(statement.valueAt, message, `write at most ${MAX_TIMEOUT_S}`);
    }
    return seconds * 1000;
  }

  private text(statement: Statement | undefined, longest: number): string | null {
    if (statement === undefined) return null;
    const length = Buffer.byteLength(statement.value);
    if (length > longest) {
      const message = `the argument of '${statement.keyword}' has ${length} characters`;
      this.diagnostics.error(statement.valueAt, message, `use at most ${longest}`);
    }
    return statement.value;
  }

  private control(statement: Statement | undefined): string {
    if (statement === undefined) return '/var/run/hastctl';
    const address = parseHastAddress(statement.value, HAST_PORT);
    if (typeof address !== 'string' && address.kind === 'uds') return address.path;
    const why = typeof address === 'string' ? address : 'it is no path of a unix socket';
    this.diagnostics.error(
      statement.valueAt,
      `'control ${statement.value}' cannot be used: ${why}`,
      'write e.g. control /var/run/hastctl',
    );
    return '';
  }

  private address(statement: Statement, defaultPort: number): void {
    const { keyword, value, valueAt } = statement;
    if (this.text(statement, MAX_PATH) !== null && value.length > MAX_PATH) return;
    const address = parseHastAddress(value, defaultPort);
    if (typeof address !== 'string' && address.kind === 'tcp') return;
    // hastd 12.1 takes a socket's path here and then refuses every connection: such a one has no address to compare.
    const why = typeof address === 'string' ? address : 'a unix socket cannot carry the data link';
    this.diagnostics.error(
      valueAt,
      `'${keyword} ${value}' is no address: ${why}`,
      `write e.g. ${keyword} tcp4://192.0.2.1${defaultPort === 0 ? '' : `:${defaultPort}`}`,
    );
  }
}

/** The last one counts, as in hastd. */
function last(statements: readonly Statement[], keyword: string): Statement | undefined {
  return statements.findLast((statement) => statement.keyword === keyword);
}
