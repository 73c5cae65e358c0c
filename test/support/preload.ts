/** Daemons that a test starts with a module of the fixtures loaded first. */

/** Every daemon that `start` has started when it returns has loaded it, and sees these variables. */
export function preloaded<T>(
  fixture: string,
  variables: Readonly<Record<string, string>>,
  start: () => T,
): T {
  const url = new URL(`../fixtures/${fixture}`, import.meta.url);
  const before = process.env['NODE_OPTIONS'];
  Object.assign(process.env, variables, { NODE_OPTIONS: `${before ?? ''} --import ${url.href}` });
  try {
    return start();
  } finally {
    for (const name of Object.keys(variables)) Reflect.deleteProperty(process.env, name);
    if (before === undefined) delete process.env['NODE_OPTIONS'];
    else process.env['NODE_OPTIONS'] = before;
  }
}
