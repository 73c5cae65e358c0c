/** The import rules of the house: which folder may know which. */
const only = (from, allowed, extra = '') => ({
  name: `${from.replace(/[\\^/]/g, '-')}-knows-only`,
  severity: 'error',
  from: { path: `^${from}/` },
  to: {
    path: '^(machines|src|node_modules)/',
    pathNot: [`^${from}/`, ...allowed.map((a) => `^${a}`), ...(extra ? [extra] : [])],
  },
});

module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-unresolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true, pathNot: '^(raw-socket|koffi|@ronomon/direct-io)$' },
    },
    {
      name: 'pure-code-knows-no-node',
      severity: 'error',
      from: { path: '^(machines|src/model)/' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'protocol-is-pure',
      comment: 'Codecs may use node:crypto, node:zlib and node:buffer (computation), never I/O.',
      severity: 'error',
      from: { path: '^src/protocol/' },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?(crypto|zlib|buffer)$' },
    },
    only('src/model', []),
    only('src/protocol', ['src/model/']),
    only('machines', ['src/model/', 'node_modules/xstate/']),
    only('src/replication', ['src/model/', 'src/protocol/']),
    only('src/hooks', ['src/model/', 'src/protocol/', 'node_modules/']),
    only('src/device', ['src/model/', 'src/protocol/', 'node_modules/']),
    only('src/net', ['src/model/', 'src/protocol/', 'node_modules/']),
    only('src/config', ['src/model/', 'node_modules/']),
    only('src/simulate', [
      'src/model/',
      'src/protocol/',
      'src/replication/',
      'src/daemon/',
      'src/net/peer-channel-types',
      'machines/',
      'node_modules/',
    ]),
    only('src/keeper', ['src/model/', 'src/net/', 'src/device/', 'node_modules/']),
    only('src/visualizer', ['src/model/', 'src/protocol/', 'machines/', 'node_modules/']),
    only('src/visualizer/page', [
      'src/protocol/control',
      'src/model/',
      'src/visualizer/graph',
      'node_modules/',
    ]),
    {
      name: 'replication-runs-anywhere',
      comment: 'The engine gets disk, link, clock and random number as ports, so the simulator can run it.',
      severity: 'error',
      from: { path: '^src/replication/' },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?(buffer)$' },
    },
    {
      name: 'machines-meet-ports-in-bind-only',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(daemon/bind|visualizer|simulate)/?' },
      to: { path: '^machines/', dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(build|dist|coverage)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'node', 'default'],
    },
  },
};
