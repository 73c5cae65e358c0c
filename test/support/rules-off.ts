/** Daemons that a test starts without one of the safety rules. */
const PRELOAD = new URL('../fixtures/rules-off.mjs', import.meta.url);

/** Every daemon that `start` has started when it returns runs without this rule; with null it has them all. */
export function withoutRule<T>(rule: string | null, start: () => T): T {
  if (rule === null) return start();
  const { NODE_OPTIONS } = process.env;
  process.env['NODE_OPTIONS'] = `${NODE_OPTIONS ?? ''} --import ${PRELOAD.href}`;
  process.env['RULE_OFF'] = rule;
  try {
    return start();
  } finally {
    delete process.env['RULE_OFF'];
    if (NODE_OPTIONS === undefined) delete process.env['NODE_OPTIONS'];
    else process.env['NODE_OPTIONS'] = NODE_OPTIONS;
  }
}
